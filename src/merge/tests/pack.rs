//! Packed pages against the definition: most entries in one source, newer ones in others.

use super::*;
use crate::base::Packed;

/// The entries of a packed page.
fn unpack(mut page: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = page.split_first_chunk::<8>() {
        let length = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (key, rest) = rest.split_at(length(0));
        let (value, rest) = rest.split_at(length(4));
        entries.push((key.to_vec(), value.to_vec()));
        page = rest;
    }
    entries
}

/// One page of up to `max` entries from where the cursor is, as the C API makes it, and whether there
/// may be more. Without `more` the cursor is at its end.
fn page(cursor: &mut VisibleCursor, room: &mut [u8], max: usize) -> Result<(usize, bool)> {
    let mut packed = Packed::new(room, max);
    while !packed.is_complete() {
        let moved = cursor.pack(&mut packed)?;
        if !moved && packed.is_complete() {
            break;
        }
        if !(if moved { cursor.is_positioned() } else { cursor.next()? }) {
            return Ok((packed.used(), false));
        }
        if !packed.is_complete() {
            assert!(packed.push(cursor.key(), cursor.value()), "there is room for all");
        }
    }
    Ok((packed.used(), true))
}

/// Entries of one large source and of a few small ones that are newer; keys may share a long head.
fn layers(random: &mut Random) -> (Vec<Owned>, Vec<Vec<Owned>>) {
    let head = ["", "k", "sixteen bytes he", "more than sixteen bytes"][random.below(4)];
    let (keys, mut number) = (1 + random.below(60), 0);
    let (mut all, mut sources) = (Vec::new(), Vec::new());
    for layer in 0..=random.below(5) {
        let mut source = Vec::new();
        for at in 0..keys {
            let part = if layer == 0 { 10 } else { 1 + random.below(3) };
            if random.below(10) >= part {
                continue;
            }
            let key = format!("{head}{at:03}{}", ["", "x"][usize::from(random.below(20) == 0)]);
            for _ in 0..=random.below(12) / 11 {
                number += 1;
                let value = format!("{layer}.{number}").into_bytes();
                let mut entry = Owned::put(key.as_bytes(), number, &value);
                match random.below(30) {
                    0 => entry = Owned::delete(key.as_bytes(), number),
                    1 => entry.expiry_ms = NOW_MS,
                    _ => {}
                }
                source.push(entry);
            }
        }
        all.extend(source.iter().cloned());
        let at = random.below(sources.len() + 1);
        sources.insert(at, source);
    }
    (all, sources)
}

#[test]
fn pages_have_what_the_definition_says_and_the_cursor_goes_on_from_their_ends() {
    let mut room = vec![0; 1 << 16];
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let (all, sources) = layers(&mut random);
        let end = all.iter().map(|entry| entry.number + 1).max().unwrap_or(1);
        let read_at = if random.below(2) == 0 || all.is_empty() {
            end
        } else {
            all[random.below(all.len())].number
        };
        let bound = |random: &mut Random| {
            (random.below(3) == 0 && !all.is_empty())
                .then(|| all[random.below(all.len())].key.clone())
        };
        let (lo, hi) = (bound(&mut random), bound(&mut random));
        let shown = seen(&all, read_at, lo.as_deref(), hi.as_deref()).entries;
        let merged = MergeCursor::new(boxed(sources));
        let mut cursor = VisibleCursor::new(merged, Lsn(read_at), NOW_MS, lo, hi);
        for _ in 0..20 {
            let mut at = 0;
            if random.below(2) == 0 && !shown.is_empty() {
                at = random.below(shown.len());
                assert!(cursor.seek_ge(&shown[at].0).unwrap());
                at += 1;
            } else {
                cursor.seek_last().unwrap();
                while cursor.is_positioned() {
                    cursor.prev().unwrap();
                }
            }
            let max = 1 + random.below(30);
            let (used, more) = page(&mut cursor, &mut room, max).unwrap();
            let packed = unpack(&room[..used]);
            let to = shown.len().min(at + max);
            assert_eq!(packed, shown[at..to], "seed {seed}");
            assert!(more || to == shown.len());
            if !more || packed.is_empty() {
                continue;
            }
            assert_eq!(cursor.entry(), packed.last().map(|(k, v)| (&**k, &**v)), "seed {seed}");
            // On in any direction.
            let goes_back = random.below(2) == 0;
            let moved = if goes_back { cursor.prev() } else { cursor.next() }.unwrap();
            let next = if goes_back { (to - 1).checked_sub(1) } else { Some(to) };
            let expected = next.and_then(|next| shown.get(next));
            let here = moved.then(|| (cursor.key().to_vec(), cursor.value().to_vec()));
            assert_eq!(here.as_ref(), expected, "seed {seed}");
        }
    }
}

#[test]
fn a_source_that_fails_fails_the_page_at_every_move() {
    let mut room = vec![0; 1 << 16];
    for seed in 0..40 {
        let mut fail_at = 1;
        loop {
            let mut random = Random::new(seed);
            let (all, sources) = layers(&mut random);
            let moves = Arc::new(AtomicU64::new(0));
            let faulty = |entries| {
                let (inner, moves) = (VecCursor::new(entries), Arc::clone(&moves));
                Box::new(FaultyCursor { inner, moves, fail_at }) as Box<dyn Cursor>
            };
            let merged = MergeCursor::new(sources.into_iter().map(faulty).collect());
            let read_at = Lsn(u64::MAX);
            let mut cursor = VisibleCursor::new(merged, read_at, NOW_MS, None, None);
            let walked = cursor.seek_first().and_then(|found| {
                let first = found.then(|| cursor.key().to_vec());
                Ok((first, page(&mut cursor, &mut room, usize::MAX)?))
            });
            let shown = seen(&all, u64::MAX, None, None).entries;
            match walked {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io);
                    assert!(!cursor.is_positioned());
                    assert!(cursor.next().is_err(), "until a seek");
                    assert_eq!(cursor.seek_first().unwrap(), !shown.is_empty());
                }
                Ok((first, (used, _))) => {
                    assert_eq!(first.as_ref(), shown.first().map(|(key, _)| key));
                    assert_eq!(unpack(&room[..used]), shown[shown.len().min(1)..]);
                    break;
                }
            }
            fail_at += 1;
        }
    }
}
