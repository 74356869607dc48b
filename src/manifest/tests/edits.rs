//! Edits as bytes, and the rules of adding them up.

use super::super::edit::EditFlaw;
use super::*;

fn apply_all(edits: &[VersionEdit]) -> std::result::Result<State, EditFlaw> {
    let mut state = state_after(0);
    for edit in edits {
        state.apply(edit)?;
    }
    Ok(state)
}

fn is_wrong(edits: &[VersionEdit]) -> bool {
    matches!(apply_all(edits), Err(EditFlaw::Wrong(_)))
}

#[test]
fn edits_read_back_as_they_were_written() {
    let mut edits = history();
    edits.push(VersionEdit::default());
    edits.push(first_edit());
    edits.push(state_after(3).snapshot());
    for edit in edits {
        assert_eq!(VersionEdit::decode(&edit.encode()), Ok(edit));
    }
}

#[test]
fn an_edit_cut_anywhere_is_an_error_or_a_shorter_edit() {
    for edit in history() {
        let bytes = edit.encode();
        for cut in 0..bytes.len() {
            if let Ok(shorter) = VersionEdit::decode(&bytes[..cut]) {
                assert_ne!(shorter, edit);
                assert_eq!(shorter.encode(), bytes[..cut]);
            }
        }
    }
}

#[test]
fn unknown_fields_stop_the_reader_unless_they_may_be_ignored() {
    let mut may_ignore = first_edit().encode();
    may_ignore.extend([0x01, 0x80, 0, 0, 2, 0, 0, 0, 9, 9]);
    let mut must_know = first_edit().encode();
    must_know.extend([11, 0, 0, 0, 0, 0, 0, 0]);

    assert_eq!(VersionEdit::decode(&may_ignore), Ok(first_edit()));
    assert!(matches!(VersionEdit::decode(&must_know), Err(EditFlaw::Newer(_))));
}

#[test]
fn hostile_fields_are_errors() {
    let hostile: &[&[u8]] = &[
        &[9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[9, 0, 1, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4],
        &[5, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0xff],
        &[1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[5, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4],
    ];
    for bytes in hostile {
        assert!(matches!(VersionEdit::decode(bytes), Err(EditFlaw::Wrong(_))), "{bytes:?}");
    }
}

#[test]
fn flipped_edits_never_panic() {
    for edit in history() {
        let bytes = edit.encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(edit) = VersionEdit::decode(&damaged) {
                let _ = state_after(2).apply(&edit);
            }
        }
    }
}

#[test]
fn the_history_adds_up() {
    let state = state_after(4);

    let places: Vec<_> = state.sections().map(|s| (s.level.0, s.file.number.0)).collect();
    assert_eq!(places, [(1, 6), (1, 7)]);
    assert_eq!(state.files(), [FileNumber(6), FileNumber(7)]);
    assert_eq!(state.keyspaces.len(), 1);
    assert_eq!(state.keyspaces[&KeyspaceId(0)].options.compression, Compression::None);
    assert_eq!((state.floor, state.synced), (Lsn(4096), Lsn(4096)));
    assert_eq!((state.next_file, state.next_keyspace), (FileNumber(8), KeyspaceId(2)));
    assert_eq!(state.ceiling, Lsn(1 << 20));
    assert_eq!(state.check_levels(), Ok(()));
}

#[test]
fn a_move_is_a_removal_and_an_addition() {
    let flush = &history()[..2];
    let trivial_move = VersionEdit {
        added: vec![section(3, 4, 0, ("a", "m"))],
        removed: vec![removal(0, 4, 0)],
        ..VersionEdit::default()
    };

    let state = apply_all(&[flush, &[trivial_move]].concat()).unwrap();

    assert_eq!(state.sections().filter(|s| s.level == Level(3)).count(), 1);
    assert_eq!(state.files(), [FileNumber(4)]);
}

#[test]
fn what_no_engine_writes_is_refused() {
    let edit = VersionEdit::default;
    let with_file = |added: Vec<AddedSection>| VersionEdit {
        next_file: Some(FileNumber(9)),
        added,
        ..VersionEdit::default()
    };
    let mut other_id = section(0, 4, 1, ("a", "b"));
    other_id.file.file_id += 1;
    let mut upside_down = section(0, 4, 0, ("b", "a"));
    upside_down.section.entries = 3;
    let users = history()[0].clone();
    let refused: Vec<Vec<VersionEdit>> = vec![
        vec![with_file(vec![section(0, 4, 5, ("a", "b"))])],
        vec![with_file(vec![section(7, 4, 0, ("a", "b"))])],
        vec![with_file(vec![section(0, 9, 0, ("a", "b"))])],
        vec![with_file(vec![section(0, 4, 0, ("a", "b")), section(1, 4, 0, ("a", "b"))])],
        vec![users.clone(), with_file(vec![section(0, 4, 0, ("a", "b")), other_id])],
        vec![with_file(vec![upside_down])],
        vec![VersionEdit { removed: vec![removal(0, 4, 0)], ..edit() }],
        vec![
            with_file(vec![section(0, 4, 0, ("a", "b"))]),
            VersionEdit { removed: vec![removal(1, 4, 0)], ..edit() },
        ],
        vec![VersionEdit { dropped: vec![KeyspaceId(3)], ..edit() }],
        vec![VersionEdit { next_file: Some(FileNumber(1)), ..edit() }],
        vec![VersionEdit { floor: Some(Lsn(9)), ..edit() }, {
            VersionEdit { floor: Some(Lsn(8)), ..edit() }
        }],
        vec![VersionEdit { ceiling: Some(Lsn(1 << 62)), ..edit() }],
        vec![VersionEdit { created: vec![keyspace(1, "a")], ..edit() }],
        vec![users.clone(), VersionEdit { created: vec![keyspace(1, "b")], ..edit() }],
        vec![users.clone(), VersionEdit { dropped: vec![KeyspaceId(1)], ..edit() }, {
            VersionEdit { created: vec![keyspace(1, "users")], ..edit() }
        }],
        vec![users, {
            let created = vec![keyspace(2, "users")];
            VersionEdit { created, next_keyspace: Some(KeyspaceId(3)), ..edit() }
        }],
    ];
    for (n, edits) in refused.iter().enumerate() {
        assert!(is_wrong(edits), "case {n}");
    }
}

#[test]
fn a_comparator_of_another_build_is_a_matter_of_format() {
    let mut foreign = keyspace(1, "users");
    foreign.comparator = Comparator { id: 2, name: "lsmer.reverse".to_owned() };
    let edit = VersionEdit {
        created: vec![foreign],
        next_keyspace: Some(KeyspaceId(2)),
        ..VersionEdit::default()
    };

    assert!(matches!(apply_all(&[edit]), Err(EditFlaw::Newer(_))));
}

#[test]
fn tables_of_a_deep_level_may_not_share_a_key() {
    let add = |keys: [(&str, &str); 2], level: u8| {
        let [left, right] = keys;
        let added = vec![section(level, 4, 0, left), section(level, 5, 0, right)];
        apply_all(&[VersionEdit { next_file: Some(FileNumber(6)), added, ..Default::default() }])
            .unwrap()
    };

    assert!(add([("a", "c"), ("c", "d")], 1).check_levels().is_err());
    assert!(add([("b", "c"), ("a", "d")], 6).check_levels().is_err());
    assert!(add([("d", "e"), ("a", "c")], 1).check_levels().is_ok());
    assert!(add([("a", "c"), ("c", "d")], 0).check_levels().is_ok());
}
