//! The command line.

use std::path::PathBuf;

use crate::adapters;
use crate::artefact;
use crate::engine::Outcome;
use crate::plan::Form;

pub(crate) const USAGE: &str = "cargo bench --bench peers -- [options]
  --quick              lsmer, RocksDB and LMDB with 500,000 keys, under 3 minutes; the default
  --full               every engine and workload; a round takes about 20 minutes
  --rounds N           1 for --quick, 3 for --full
  --engines a,b        of lsmer, rocksdb, leveldb, lmdb, wiredtiger, fjall
  --only w,w           kinds (ycsb-a), labels (readrandom/2) or scenarios (reads)
  --out DIR            results, tables and plots; target/peers/report
  --dir DIR            databases; target/peers/db
Environment: LSMER_PEER_NAME=PATH takes another shared library for the engine NAME.";

pub(crate) struct Options {
    pub(crate) form: Form,
    pub(crate) rounds: usize,
    pub(crate) engines: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) out: PathBuf,
    pub(crate) databases: PathBuf,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut form = Form::Quick;
        let (mut rounds, mut engines) = (None, None);
        let mut only = Vec::new();
        let mut out = artefact::place().join("report");
        let mut databases = artefact::place().join("db");
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--bench" => {}
                "--quick" => form = Form::Quick,
                "--full" => form = Form::Full,
                "--rounds" => {
                    let count: usize = value()?.parse().map_err(|_| "--rounds N")?;
                    rounds = Some(count.max(1));
                }
                "--engines" => engines = Some(list(value()?)),
                "--only" => only.extend(list(value()?)),
                "--out" => out = PathBuf::from(value()?),
                "--dir" => databases = PathBuf::from(value()?),
                _ => return Err(USAGE.to_owned()),
            }
        }
        let quick = form == Form::Quick;
        let all = || {
            let names = adapters::KNOWN.iter().map(|known| known.name);
            names.filter(|name| !quick || !["leveldb", "wiredtiger", "fjall"].contains(name))
        };
        Ok(Self {
            form,
            rounds: rounds.unwrap_or(if quick { 1 } else { 3 }),
            engines: engines.unwrap_or_else(|| all().map(str::to_owned).collect()),
            only,
            out,
            databases,
        })
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
