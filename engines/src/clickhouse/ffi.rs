//! The C interface of libchdb, loaded at run time so that the build needs neither header nor library.
//!
//! The signatures are those of `chdb.h` of the pinned version. This is the one module with unsafe code; what it hands
//! out can't be misused from safe code: handles are destroyed once, in the right order, and never shared by threads
//! at the same time (a connection runs one statement at a time, which `&mut` states).
#![expect(unsafe_code, reason = "the C interface of libchdb")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::slice;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::exception::Exception;

type Handle = *mut c_void;
/// What `chdb_connect` answers: a place that holds the connection.
type Place = *mut Handle;
type Names = *const *const c_char;
type Lengths = *const usize;

macro_rules! api {
    ($($(#[$doc:meta])* $field:ident = $symbol:literal ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that are used.
        pub(crate) struct Api {
            $($(#[$doc])* $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Keeps the code mapped.
            _library: Library,
        }

        impl Api {
            fn resolve(library: Library) -> Result<Self, libloading::Error> {
                // SAFETY: every type is the one that `chdb.h` declares for the symbol; the pointers are used only
                // through `Api`, which keeps the library loaded.
                unsafe {
                    Ok(Self {
                        $($field: *library.get(concat!($symbol, "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

api! {
    version = "chdb_version" () -> *const c_char;
    set_signal_handlers = "chdb_set_signal_handlers_enabled" (c_int);
    shutdown = "chdb_shutdown" () -> c_int;
    connect = "chdb_connect" (c_int, *mut *mut c_char) -> Place;
    close = "chdb_close_conn" (Place);
    query = "chdb_query_with_params_n"
        (Handle, *const c_char, usize, *const c_char, usize, Names, Lengths, Names, Lengths, usize) -> Handle;
    stream = "chdb_stream_query_with_params_n"
        (Handle, *const c_char, usize, *const c_char, usize, Names, Lengths, Names, Lengths, usize) -> Handle;
    fetch = "chdb_stream_fetch_result" (Handle, Handle) -> Handle;
    cancel_stream = "chdb_stream_cancel_query" (Handle, Handle);
    insert = "chdb_stream_insert_with_params_n"
        (Handle, *const c_char, usize, *const c_char, usize, Names, Lengths, Names, Lengths, usize) -> Handle;
    append = "chdb_stream_append" (Handle, *const c_void, usize) -> c_int;
    done = "chdb_stream_done" (Handle) -> Handle;
    insert_error = "chdb_stream_insert_error" (Handle) -> *const c_char;
    destroy_insert = "chdb_destroy_insert_stream" (Handle);
    buffer = "chdb_result_buffer" (Handle) -> *const u8;
    length = "chdb_result_length" (Handle) -> usize;
    error = "chdb_result_error" (Handle) -> *const c_char;
    rows_read = "chdb_result_storage_rows_read" (Handle) -> u64;
    bytes_read = "chdb_result_storage_bytes_read" (Handle) -> u64;
    rows_written = "chdb_result_rows_written" (Handle) -> u64;
    bytes_written = "chdb_result_bytes_written" (Handle) -> u64;
    destroy_result = "chdb_destroy_query_result" (Handle);
}

impl Api {
    /// Loads the library for the rest of the process's life.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, libloading::Error> {
        // SAFETY: the file is the pinned libchdb; its initialisers prepare an allocator and nothing of ours.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)? };
        let api: &'static Self = Box::leak(Box::new(Self::resolve(library)?));
        // SAFETY: called once, before any connection and any other thread of the engine. It keeps the engine from
        // installing handlers for deadly signals; a crash shall end this process at once, it is started again.
        unsafe { (api.set_signal_handlers)(0) };
        Ok(api)
    }

    pub(crate) fn version(&self) -> String {
        // SAFETY: answers a static string that ends with a NUL.
        unsafe { CStr::from_ptr((self.version)()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Ends the engine's threads. Does nothing while a connection is open.
    pub(crate) fn shutdown(&self) {
        // SAFETY: has no arguments; the engine itself checks that no connection is left.
        let state = unsafe { (self.shutdown)() };
        if state != 0 {
            tracing::warn!("the engine was not shut down: a connection is still open");
        }
    }
}

/// Named values for `{name:Type}` placeholders, as `chdb.h` wants them.
struct Bindings<'p> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    _parameters: PhantomData<&'p [(String, String)]>,
}

impl<'p> Bindings<'p> {
    fn new(parameters: &'p [(String, String)]) -> Self {
        Self {
            names: parameters
                .iter()
                .map(|(name, _)| name.as_ptr().cast())
                .collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters
                .iter()
                .map(|(_, value)| value.as_ptr().cast())
                .collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
            _parameters: PhantomData,
        }
    }
}

/// One session of the engine: its own settings, current database and temporary tables.
pub(crate) struct Connection {
    api: &'static Api,
    place: Place,
}

// SAFETY: the engine ties a connection to no thread; `&mut self` keeps two threads from using it at once.
unsafe impl Send for Connection {}

impl Connection {
    /// `None` where the engine refuses an argument or can't open its data; it says no more than that.
    pub(crate) fn open(api: &'static Api, arguments: &[CString]) -> Option<Self> {
        let mut argv: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(argv.len()).ok()?;
        // SAFETY: `argv` holds `count` strings that end with a NUL and outlive the call; the engine only reads them.
        let place = unsafe { (api.connect)(count, argv.as_mut_ptr()) };
        (!place.is_null()).then_some(Self { api, place })
    }

    fn handle(&self) -> Handle {
        // SAFETY: `place` is not null (checked in `open`) and valid until `drop` closes it.
        unsafe { *self.place }
    }

    /// Runs any statement and collects its whole result.
    pub(crate) fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Output, Exception> {
        let b = Bindings::new(parameters);
        // SAFETY: every pointer comes with its length and outlives the call; the engine copies what it keeps.
        let result = unsafe {
            (self.api.query)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                b.names.as_ptr(),
                b.name_lengths.as_ptr(),
                b.values.as_ptr(),
                b.value_lengths.as_ptr(),
                b.names.len(),
            )
        };
        Output {
            api: self.api,
            result,
        }
        .checked()
    }

    /// Starts a `SELECT` whose result is fetched piece by piece.
    pub(crate) fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<SelectStream<'_>, Exception> {
        let b = Bindings::new(parameters);
        // SAFETY: as in `query`.
        let result = unsafe {
            (self.api.stream)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                b.names.as_ptr(),
                b.name_lengths.as_ptr(),
                b.values.as_ptr(),
                b.value_lengths.as_ptr(),
                b.names.len(),
            )
        };
        let state = Output {
            api: self.api,
            result,
        }
        .checked()?;
        Ok(SelectStream {
            connection: self,
            state,
            ended: false,
        })
    }

    /// Starts an `INSERT` whose data follows by [`InsertStream::append`].
    pub(crate) fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<InsertStream<'_>, Exception> {
        let b = Bindings::new(parameters);
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.api.insert)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                b.names.as_ptr(),
                b.name_lengths.as_ptr(),
                b.values.as_ptr(),
                b.value_lengths.as_ptr(),
                b.names.len(),
            )
        };
        let stream = InsertStream {
            api: self.api,
            handle,
            _connection: PhantomData,
        };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `chdb_connect`, closed once; results and streams borrow the connection or are independent.
        unsafe { (self.api.close)(self.place) };
    }
}

/// A result that the engine owns.
pub(crate) struct Output {
    api: &'static Api,
    result: Handle,
}

// SAFETY: the result is plain memory of the engine that no other handle refers to.
unsafe impl Send for Output {}

impl Output {
    fn checked(self) -> Result<Self, Exception> {
        // SAFETY: the engine answers a valid result or null, and accepts null in every accessor.
        let error = unsafe { (self.api.error)(self.result) };
        match text(error) {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(self),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: buffer and length describe memory that lives as long as the result, which `self` borrows.
        unsafe {
            let start = (self.api.buffer)(self.result);
            let length = (self.api.length)(self.result);
            if start.is_null() || length == 0 {
                &[]
            } else {
                slice::from_raw_parts(start, length)
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        // SAFETY: plain accessors on a valid result.
        unsafe {
            Counts {
                read_rows: (self.api.rows_read)(self.result),
                read_bytes: (self.api.bytes_read)(self.result),
                written_rows: (self.api.rows_written)(self.result),
                written_bytes: (self.api.bytes_written)(self.result),
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { (self.api.destroy_result)(self.result) };
    }
}

/// What a statement read and wrote.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) read_rows: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_rows: u64,
    pub(crate) written_bytes: u64,
}

/// A `SELECT` under way. Dropped before its end, it is cancelled.
pub(crate) struct SelectStream<'c> {
    connection: &'c mut Connection,
    state: Output,
    ended: bool,
}

impl SelectStream<'_> {
    /// The next piece; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Output>, Exception> {
        if self.ended {
            return Ok(None);
        }
        let api = self.connection.api;
        // SAFETY: connection and stream are valid and belong together; the borrow keeps other statements away.
        let result = unsafe { (api.fetch)(self.connection.handle(), self.state.result) };
        let piece = Output { api, result }.checked();
        match piece {
            Ok(piece) if !piece.bytes().is_empty() => Ok(Some(piece)),
            Ok(_) => {
                self.ended = true;
                Ok(None)
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

impl Drop for SelectStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: as in `next`; the result itself is destroyed after this by `Output`.
            unsafe {
                (self.connection.api.cancel_stream)(self.connection.handle(), self.state.result)
            };
        }
    }
}

/// An `INSERT` under way. Dropped before [`InsertStream::finish`], it is cancelled.
pub(crate) struct InsertStream<'c> {
    api: &'static Api,
    handle: Handle,
    _connection: PhantomData<&'c mut Connection>,
}

impl InsertStream<'_> {
    fn error(&self) -> Option<Exception> {
        // SAFETY: the handle is never null and valid until `drop`; the text is copied at once.
        let error = unsafe { (self.api.insert_error)(self.handle) };
        text(error).map(|error| Exception::from_engine(&error))
    }

    /// Hands over raw bytes in the insert's format; waits while the engine is behind.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: pointer and length describe `data`, which the engine copies.
        let state = unsafe { (self.api.append)(self.handle, data.as_ptr().cast(), data.len()) };
        match (state, self.error()) {
            (0, _) => Ok(()),
            (_, Some(error)) => Err(error),
            (_, None) => Err(Exception::internal(
                "the engine ended the insert without a reason",
            )),
        }
    }

    /// Ends the data and waits until the rows are written.
    pub(crate) fn finish(self) -> Result<Counts, Exception> {
        // SAFETY: the handle is valid and not finished yet, since this consumes it; `drop` then only frees it.
        let result = unsafe { (self.api.done)(self.handle) };
        let output = Output {
            api: self.api,
            result,
        }
        .checked()?;
        Ok(output.counts())
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; an unfinished insert is cancelled by it.
        unsafe { (self.api.destroy_insert)(self.handle) };
    }
}

fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, ends with a NUL, and valid until the handle that it came from is used again.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}
