//! Damage: every bit, every length and every sector of every file, and files in the wrong place.
//!
//! A damaged database opens and reads as an error with its place, or as exactly what the undamaged
//! bytes prove (`oracle`): never anything else, and never a panic. Each sweep counts what came of
//! it, by kind of file, and prints the counts. `LSMER_LONG=1` leaves nothing out; else large areas
//! of zeros are sampled, and tables are damaged in full once.

mod bits;
mod files;
mod fixture;
mod oracle;
mod sectors;
mod strangers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::life::Life;
use super::machine::PATH;
use crate::base::filename::FileName;
use crate::base::options::OpenOptions;
use crate::base::{Error, ErrorKind, FileNumber, Lsn};
use crate::engine::{Db, ReadOptions};
use crate::manifest::{self, State};
use crate::vfs::Vfs;
use crate::vfs::sim::SimFs;
use fixture::{Content, Fixture, image};
use oracle::{Expect, Oracle, kind_of};

/// What a reader of a damaged database saw.
#[derive(Debug)]
enum Seen {
    /// Everything as it should be.
    Same,
    /// The first error of several reads, of which the others were right.
    Error(Error),
    /// Something else.
    Wrong(String),
}

/// Whether nothing is to be left out.
fn is_long() -> bool {
    std::env::var_os("LSMER_LONG").is_some()
}

/// What the manifest of an undamaged database adds up to.
fn state_of(fixture: &Fixture) -> State {
    let dir = fixture.fs.process_death().open_dir(Path::new(PATH), false).unwrap();
    manifest::recover(&*dir).unwrap().unwrap().state
}

/// Opens a database and reads everything in it.
fn look(fs: &Arc<SimFs>, fixture: &Fixture, expected: &Content) -> Seen {
    look_as(fs, fixture, expected, &fixture.options)
}

fn look_as(fs: &Arc<SimFs>, fixture: &Fixture, expected: &Content, options: &OpenOptions) -> Seen {
    let life = Life::on(Arc::clone(fs), options);
    let looked = catch_unwind(AssertUnwindSafe(|| match life.open() {
        Ok(db) => read_all(&db, fixture, expected),
        Err(error) => Seen::Error(error),
    }));
    looked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Seen::Wrong(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Reads every key, scans both ways, and checks every table.
fn read_all(db: &Arc<Db>, fixture: &Fixture, expected: &Content) -> Seen {
    let mut first = None;
    if db.keyspace_list() != fixture.keyspaces {
        return Seen::Wrong(format!("keyspaces are {:?}", db.keyspace_list()));
    }
    for (keyspace, key) in &fixture.keys {
        match db.get(*keyspace, key, &ReadOptions::default()) {
            Err(error) => drop(first.get_or_insert(error)),
            Ok(found) => {
                let wanted = expected.get(&(*keyspace, key.clone())).map(Vec::as_slice);
                if found.as_deref() != wanted {
                    let key = String::from_utf8_lossy(key);
                    return Seen::Wrong(format!("{key} of {keyspace:?} is {:?}", found.as_deref()));
                }
            }
        }
    }
    for is_forward in [true, false] {
        match scan(db, fixture, expected, is_forward) {
            Ok(None) => {}
            Ok(Some(wrong)) => return Seen::Wrong(wrong),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    if first.is_none() {
        first = verify(db).err();
    }
    first.map_or(Seen::Same, Seen::Error)
}

/// Scans all keyspaces; says what is wrong.
fn scan(
    db: &Arc<Db>,
    fixture: &Fixture,
    expected: &Content,
    is_forward: bool,
) -> Result<Option<String>, Error> {
    for (_, id) in &fixture.keyspaces {
        let mut iter = db.iter(*id, &ReadOptions::default(), None, None)?;
        let mut wanted: Vec<_> = expected.iter().filter(|((of, _), _)| of == id).collect();
        if !is_forward {
            wanted.reverse();
        }
        let mut wanted = wanted.into_iter();
        while if is_forward { iter.next()? } else { iter.prev()? } {
            match wanted.next() {
                Some(((_, key), value)) if iter.key() == key && iter.value() == value => {}
                other => {
                    let key = String::from_utf8_lossy(iter.key()).into_owned();
                    return Ok(Some(format!("a scan shows {key} and not {other:?}")));
                }
            }
        }
        if let Some(missing) = wanted.next() {
            return Ok(Some(format!("a scan ends before {missing:?}")));
        }
    }
    Ok(None)
}

/// Reads every block of every table.
fn verify(db: &Db) -> Result<(), Error> {
    let version = db.version();
    for (_, section) in version.sections() {
        section.table()?.verify()?;
    }
    Ok(())
}

/// How often each outcome came of damage, by kind of file.
#[derive(Default)]
struct Tally(BTreeMap<(&'static str, String), u64>);

impl Tally {
    fn note(&mut self, path: &str, outcome: impl Into<String>) {
        *self.0.entry((word_of(path), outcome.into())).or_default() += 1;
    }

    /// How often this came of damage to such files.
    fn count(&self, word: &str, outcome: &str) -> u64 {
        let matching = self.0.iter().filter(|((of, what), _)| *of == word && what == outcome);
        matching.map(|(_, count)| count).sum()
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn print(&self, title: &str) {
        println!("{title}: {} damages", self.total());
        for ((word, outcome), count) in &self.0 {
            println!("  {word:<9} {outcome:<40} {count:>8}");
        }
    }
}

/// A short name for the kind of a file.
fn word_of(path: &str) -> &'static str {
    match kind_of(path) {
        FileName::Log(_) => "log",
        FileName::Table(_) => "table",
        FileName::Manifest(_) => "manifest",
        FileName::Current | FileName::CurrentTemp => "CURRENT",
        FileName::Lock => "LOCK",
    }
}

/// Each so many damages the database is opened read-only, too.
const READ_ONLY_EVERY: u64 = 16;

/// An opening that fails leaves all but the lock as it was: what can be saved is still there.
fn assert_untouched_if_refused(fixture: &Fixture, fs: &Arc<SimFs>) {
    let files = |fs: &SimFs| {
        let mut files = image(fs);
        files.retain(|path, _| kind_of(path) != FileName::Lock);
        files
    };
    let before = files(fs);
    if Life::on(Arc::clone(fs), &fixture.options).open().is_err() {
        assert!(files(fs) == before, "an opening that failed changed files");
    }
}

/// One database under damage.
struct Sweep {
    fixture: Fixture,
    oracle: Oracle,
    tally: Tally,
    damages: u64,
}

impl Sweep {
    fn new(fixture: Fixture) -> Self {
        let oracle = Oracle::new(&fixture);
        Self { fixture, oracle, tally: Tally::default(), damages: 0 }
    }

    /// Replaces one file and compares what is seen with what must be; none removes it.
    fn damage(&mut self, path: &str, after: Option<&[u8]>, what: &dyn Fn() -> String) {
        let fixture = &self.fixture;
        let expect = self.oracle.expect(path, &fixture.files[path], after);
        let damaged = || fixture.with([(path, after)]);
        let wrong = |seen: Seen| -> Outcome {
            panic!("{:?} {path}: {}: {expect:?}, but {seen:?}", fixture.ending, what())
        };
        let (outcome, fs) =
            seen_as(fixture, &expect, damaged, &fixture.options).unwrap_or_else(wrong);
        self.damages += 1;
        if self.damages % READ_ONLY_EVERY == 0 {
            let options = OpenOptions { read_only: true, ..fixture.options.clone() };
            let (_, fs) = seen_as(fixture, &expect, damaged, &options).unwrap_or_else(wrong);
            assert!(image(&fs) == image(&damaged()), "{path}: {}: it was changed", what());
            assert_untouched_if_refused(fixture, &damaged());
        }
        if let Some((end, _)) = outcome {
            // What was made of it lasts.
            let again = look(&fs.process_death(), fixture, fixture.at(end));
            assert!(matches!(again, Seen::Same), "{path}: {}: again: {again:?}", what());
        }
        let outcome = match outcome {
            None => "corrupt".to_owned(),
            Some((end, "cut")) if fixture.at(end) == fixture.whole() => {
                "same: cut at its end".to_owned()
            }
            Some((_, "cut")) => "cut".to_owned(),
            Some((_, why)) => format!("same: {why}"),
        };
        self.tally.note(path, outcome);
    }
}

/// Which of the contents that may be left, and the disk then; none is an error that may be.
type Outcome = (Option<(Lsn, &'static str)>, Arc<SimFs>);

/// What comes of a damage, if it may; else what was seen instead.
fn seen_as(
    fixture: &Fixture,
    expect: &Expect,
    damaged: impl Fn() -> Arc<SimFs>,
    options: &OpenOptions,
) -> Result<Outcome, Seen> {
    let mut seen = None;
    let contents = expect.contents.iter().copied().map(Some);
    for content in contents.chain(expect.contents.is_empty().then_some(None)) {
        let end = content.map_or(Lsn(u64::MAX), |(end, _)| end);
        let fs = damaged();
        match (look_as(&fs, fixture, fixture.at(end), options), expect.error) {
            (Seen::Same, _) if content.is_some() => return Ok((content, fs)),
            (Seen::Error(error), Some(place)) if is_damage(&error, place) => return Ok((None, fs)),
            (other, _) => seen = Some(other),
        }
    }
    Err(seen.unwrap())
}

fn is_damage(error: &Error, (file, offset): (Option<FileNumber>, Option<u64>)) -> bool {
    error.kind() == ErrorKind::Corrupt
        && file.is_none_or(|file| error.file_id() == file.0)
        && offset.is_none_or(|offset| error.offset() == offset)
}
