//! Writes a table file: sections one after the other, each from entries in internal order.
//!
//! Memory is one block, the write buffer (long values may lie elsewhere, held), and for each distinct key 12 bytes (hash and place) and
//! for each block its separator, whatever the size of the table. One thread at a time. The file
//! is durable when [`TableBuilder::finish`] returns; its name is the caller's to sync.

use std::sync::Arc;

use crate::base::meta::{FileMeta, SectionMeta, TableMeta};
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{Entry, Error, ErrorKind, FileNumber, KeyspaceId, Result};
use crate::mem::Held;
use crate::vfs::File;

use super::format::{
    BlockKind, FOOTER_BYTES, Footer, Identity, SectionPlace, encode_directory, encode_footer,
    encode_header,
};
use super::output::Output;
use super::section_builder::SectionBuilder;

/// Writes one table. After an error the file is worthless, and every later call fails too.
pub(crate) struct TableBuilder {
    output: Output,
    identity: Identity,
    sections: Vec<SectionMeta>,
    places: Vec<SectionPlace>,
    current: Option<SectionBuilder>,
    failure: Option<Error>,
    /// Whether filter and hash index are asked for every key before they are written. On in tests.
    paranoid: bool,
}

impl TableBuilder {
    /// Begins a table in `file`, which is empty. `file_id` is random.
    pub(crate) fn new(file: Arc<dyn File>, number: FileNumber, file_id: u64) -> Self {
        let identity = Identity::new(number, file_id);
        let mut output = Output::new(file, file_id);
        let failure = output.append(&encode_header(&identity)).err();
        Self {
            output,
            identity,
            sections: Vec::new(),
            places: Vec::new(),
            current: None,
            failure,
            paranoid: cfg!(test),
        }
    }

    /// Begins the section of `keyspace`; ids ascend, and no section is open. Asserted.
    pub(crate) fn start_section(&mut self, keyspace: KeyspaceId, options: &KeyspaceOptions) {
        assert!(self.current.is_none(), "a section ends before the next one begins");
        let ascends = self.sections.last().is_none_or(|last| last.keyspace < keyspace);
        assert!(ascends, "sections come in ascending order of keyspace (T6)");
        let begin = self.output.position();
        self.current = Some(SectionBuilder::new(keyspace, options, begin));
    }

    /// Adds the next entry in internal order to the open section.
    ///
    /// # Errors
    /// `Invalid` for a key or value beyond the limits, `Unsupported` for a range delete (they do
    /// not live among entries), `Internal` if the order is wrong (T8), `Io` or `NoSpace` if
    /// writing failed.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.add_holding(entry, || None)
    }

    /// The same, where `hold` can hold the entry's value: it is asked for if the value is so long
    /// that this is better than a copy.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub(crate) fn add_holding(
        &mut self,
        entry: &Entry<'_>,
        hold: impl FnOnce() -> Option<Held>,
    ) -> Result<()> {
        self.attempt(|builder| {
            let file_id = builder.identity.file_id;
            let section = builder.current.as_mut().ok_or_else(no_section)?;
            section.add(entry, hold, file_id, &mut builder.output)
        })
    }

    /// Ends the open section. One without entries leaves no trace.
    ///
    /// # Errors
    /// `Io` or `NoSpace`; `Internal` if the paranoid check finds a key that would not be found.
    pub(crate) fn finish_section(&mut self) -> Result<()> {
        self.attempt(|builder| {
            let section = builder.current.take().ok_or_else(no_section)?;
            if let Some((meta, place)) = section.finish(&mut builder.output, builder.paranoid)? {
                builder.sections.push(meta);
                builder.places.push(place);
            }
            Ok(())
        })
    }

    /// Length that the file would have if the open block were written now, in bytes.
    pub(crate) fn file_bytes_so_far(&self) -> u64 {
        let pending = self.current.as_ref().map_or(0, SectionBuilder::pending_bytes);
        self.output.position() + pending as u64
    }

    /// Writes directory and footer and makes the file durable. All sections are finished.
    ///
    /// # Errors
    /// `Io` or `NoSpace`; the first error of any earlier call.
    pub(crate) fn finish(mut self) -> Result<TableMeta> {
        assert!(self.current.is_none(), "the last section is finished");
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let directory_offset = self.output.position();
        let directory = encode_directory(&self.places);
        let directory_bytes =
            self.output.block(BlockKind::Directory, &directory, Compression::None)?;
        let file_bytes = self.output.position() + FOOTER_BYTES as u64;
        let sections = crate::base::coding::u32_of(self.places.len());
        let Identity { number, file_id, .. } = self.identity;
        let identity = self.identity;
        let footer = Footer { directory_offset, directory_bytes, sections, file_bytes, identity };
        self.output.append(&encode_footer(&footer))?;
        self.output.finish()?;
        let file = FileMeta { number, file_id, file_bytes };
        Ok(TableMeta { file, sections: self.sections })
    }

    /// Runs one step unless an earlier one failed, and keeps its failure.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = step(self);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }
}

fn no_section() -> Error {
    Error::new(ErrorKind::Internal, "an entry was added outside of a section")
}
