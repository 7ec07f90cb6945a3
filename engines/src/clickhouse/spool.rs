//! Bytes that must be complete before anything happens with them: in memory while few, in a file when many.

use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::exception::{Exception, code};

/// Kept in memory; what goes beyond is written to an unnamed file, which the page cache serves.
const MEMORY_BYTES_MAX: usize = 8 << 20;
/// A limit on everything: no body or buffered result may fill the disk.
const BYTES_MAX: u64 = 16 << 30;

pub(crate) struct Spool {
    /// For temporary files; on the disk of the data, which has room for it.
    dir: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Spool {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            memory: Vec::new(),
            file: None,
            length: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        self.length += bytes.len() as u64;
        if self.length > BYTES_MAX {
            return Err(Exception::new(
                code::QUERY_IS_TOO_LARGE,
                format!(
                    "More than {BYTES_MAX} bytes in one request or buffered result (QUERY_IS_TOO_LARGE)"
                ),
            ));
        }
        if self.memory.len() + bytes.len() > MEMORY_BYTES_MAX {
            self.spill()?;
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is in memory to the file.
    fn spill(&mut self) -> Result<(), Exception> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(tempfile::tempfile_in(&self.dir).map_err(|e| full(&e))?),
        };
        file.write_all(&self.memory).map_err(|e| full(&e))?;
        self.memory.clear();
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Everything, while nothing was spilled.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(self.memory.as_slice())
    }

    /// The first bytes, where some were spilled; a spill is far longer than the head of any statement.
    pub(crate) fn spilled_head(&self, length_max: usize) -> Result<Vec<u8>, Exception> {
        let mut head = vec![0; length_max];
        let read = match &self.file {
            Some(file) => file.read_at(&mut head, 0).map_err(|e| full(&e))?,
            None => 0,
        };
        head.truncate(read);
        Ok(head)
    }

    /// Reads everything from the beginning.
    pub(crate) fn into_reader(mut self) -> Result<impl Read + Send, Exception> {
        let file = match self.file.take() {
            Some(mut file) => {
                file.rewind().map_err(|e| full(&e))?;
                Some(file)
            }
            None => None,
        };
        let memory = std::io::Cursor::new(self.memory);
        Ok(OptionalFile(file).chain(memory))
    }
}

struct OptionalFile(Option<File>);

impl Read for OptionalFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.read(buffer),
            None => Ok(0),
        }
    }
}

fn full(error: &std::io::Error) -> Exception {
    Exception::new(
        code::CANNOT_WRITE_TO_FILE,
        format!("Temporary file: {error} (CANNOT_WRITE_TO_FILE)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_back_in_order_from_memory_and_file() {
        for pieces in [3_usize, 40] {
            let mut spool = Spool::new(Path::new("/tmp"));
            let mut expected = Vec::new();
            for n in 0..pieces {
                let piece = vec![u8::try_from(n).unwrap(); 1 << 20];
                spool.push(&piece).unwrap();
                expected.extend_from_slice(&piece);
            }
            assert_eq!(spool.in_memory().is_some(), pieces == 3);
            let mut read = Vec::new();
            spool.into_reader().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == expected);
        }
    }
}
