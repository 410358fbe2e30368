//! For tests in Rust: finding the library beside the test's own program, writing scenarios, and
//! reading what the loaded library counted.
//!
//! The library that an agent loads and this crate, linked into a test, are two copies: numbers
//! must come from the loaded one. [`Library::open`] opens the same file once more, which gives
//! the same copy.
#![allow(unsafe_code, reason = "calls into a library that was opened by its path")]

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::scenario::{Entry, Scenario};
use crate::stats::Stats;

/// What went wrong with the library or a scenario's file.
#[derive(Debug)]
pub enum Error {
    /// The library is not where cargo puts it.
    NotFound(PathBuf),
    /// It can't be opened, or lacks what this crate's has.
    Open(String),
    /// The scenario has a mistake, which is on standard error.
    Scenario,
    Io(PathBuf, io::Error),
    Format(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(path) => write!(
                f,
                "libfake_nvml.so is not beside {}: build the package fake-nvml",
                path.display()
            ),
            Self::Open(why) => write!(f, "open the fake NVML: {why}"),
            Self::Scenario => f.write_str("the fake NVML refused the scenario"),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Format(why) => write!(f, "write a scenario: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Where cargo put `libfake_nvml.so`: beside the running program, in its `deps`, or above.
///
/// # Errors
///
/// If it is in none of these places.
pub fn library_path() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().map_err(|e| Error::Io("current program".into(), e))?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let name = "libfake_nvml.so";
    let places = [beside.join(name), beside.join("deps").join(name), beside.join("..").join(name)];
    let found = places.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| Error::NotFound(program.clone()))
}

/// A scenario's file: written whole, so that a reader never sees a part.
#[derive(Debug)]
pub struct ScenarioFile {
    path: PathBuf,
    scenario: Scenario,
}

impl ScenarioFile {
    /// Writes `scenario` to `path`.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn create(path: impl Into<PathBuf>, scenario: Scenario) -> Result<Self, Error> {
        let file = Self { path: path.into(), scenario };
        file.write()?;
        Ok(file)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Changes the scenario. Running programs see it within `poll_ms`; [`Library::reload`] makes
    /// this process see it at once.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn edit(&mut self, change: impl FnOnce(&mut Scenario)) -> Result<(), Error> {
        change(&mut self.scenario);
        self.write()
    }

    /// Adds an entry to the timeline, by default for at once.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn push(&mut self, entry: Entry) -> Result<(), Error> {
        self.edit(|scenario| scenario.timeline.push(entry))
    }

    /// Takes the timeline away, and with it all that it set.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn calm(&mut self) -> Result<(), Error> {
        self.edit(|scenario| scenario.timeline.clear())
    }

    fn write(&self) -> Result<(), Error> {
        let text = toml::to_string(&self.scenario).map_err(|e| Error::Format(e.to_string()))?;
        let partial = self.path.with_extension("partial");
        fs::write(&partial, text)
            .and_then(|()| fs::rename(&partial, &self.path))
            .map_err(|error| Error::Io(self.path.clone(), error))
    }
}

/// The fake NVML that this process has loaded, or now loads.
///
/// It is never closed: threads may still be in it.
#[derive(Debug)]
pub struct Library {
    set_scenario: unsafe extern "C" fn(*const c_char) -> c_int,
    reload: extern "C" fn() -> c_int,
    stats: unsafe extern "C" fn(*mut c_char, usize) -> usize,
    reset_stats: extern "C" fn(),
}

impl Library {
    /// Opens the library at a path; the copy that others opened by the same file is shared.
    ///
    /// # Errors
    ///
    /// If there is none, or it is another library.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|e| Error::Open(e.to_string()))?;
        // SAFETY: the text ends with a zero; the library's initialisers do nothing.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(Error::Open(last_error()));
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is open and stays so.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if found.is_null() { Err(Error::Open(last_error())) } else { Ok(found) }
        };
        // SAFETY: these are the types with which `exports::control` defines them.
        unsafe {
            Ok(Self {
                set_scenario: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_char) -> c_int,
                >(symbol(c"fake_nvml_set_scenario")?),
                reload: std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(symbol(
                    c"fake_nvml_reload",
                )?),
                stats: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_char, usize) -> usize,
                >(symbol(c"fake_nvml_stats")?),
                reset_stats: std::mem::transmute::<*mut c_void, extern "C" fn()>(symbol(
                    c"fake_nvml_reset_stats",
                )?),
            })
        }
    }

    /// Opens the one that cargo built for this program.
    ///
    /// # Errors
    ///
    /// As [`library_path`] and [`open`](Self::open).
    pub fn beside() -> Result<Self, Error> {
        Self::open(&library_path()?)
    }

    /// Begins anew with a scenario. Everything from before is void: sessions, handles, event sets.
    ///
    /// # Errors
    ///
    /// If the scenario has a mistake.
    pub fn set_scenario(&self, file: &ScenarioFile) -> Result<(), Error> {
        let path = OsString::from(file.path());
        let path = CString::new(path.as_bytes()).map_err(|e| Error::Open(e.to_string()))?;
        // SAFETY: the text ends with a zero and outlives the call.
        let code = unsafe { (self.set_scenario)(path.as_ptr()) };
        if code == 0 { Ok(()) } else { Err(Error::Scenario) }
    }

    /// Reads the scenario's file now. Waits for no one who is in a call.
    ///
    /// # Errors
    ///
    /// If the scenario has a mistake; the one before stays.
    pub fn reload(&self) -> Result<(), Error> {
        if (self.reload)() == 0 { Ok(()) } else { Err(Error::Scenario) }
    }

    /// What clients did since the last reset.
    ///
    /// # Errors
    ///
    /// If the library is of another version.
    pub fn stats(&self) -> Result<Stats, Error> {
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            // SAFETY: the buffer has as many bytes as is said.
            let needed = unsafe { (self.stats)(buffer.as_mut_ptr().cast(), buffer.len()) };
            if let Some(json) = buffer.get(..needed) {
                return serde_json::from_slice(json).map_err(|e| Error::Open(e.to_string()));
            }
            buffer.resize(needed + 4096, 0);
        }
    }

    pub fn reset_stats(&self) {
        (self.reset_stats)();
    }
}

fn last_error() -> String {
    // SAFETY: the text is the thread's own until its next call of the kind.
    unsafe {
        let error = libc::dlerror();
        if error.is_null() {
            return "no reason given".into();
        }
        CStr::from_ptr(error).to_string_lossy().into_owned()
    }
}
