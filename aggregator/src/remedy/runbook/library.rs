//! All runbooks: those that come with the aggregator and those of a directory.
//!
//! The directory is looked at again when somebody asks, at most every [`LOOK_EVERY_MS`]. A change
//! that cannot be used is told once and changes nothing: what was read before stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use sextant_proto::chain::chain;
use tracing::{info, warn};

use super::builtin::BUILTIN;
use super::parse::{Known, parse};
use super::{Runbook, RunbookError};
use crate::remedy::search::{Document, Index};

/// How often the directory is looked at.
const LOOK_EVERY_MS: i64 = 10_000;
/// Files that a directory may have, and their bytes together.
const MAX_FILES: usize = 500;
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

/// Runbooks and the ways to them. It does not change.
#[derive(Debug)]
pub struct Library {
    books: Vec<Arc<Runbook>>,
    by_id: BTreeMap<String, usize>,
    by_rule: BTreeMap<String, Vec<usize>>,
    by_event: BTreeMap<String, Vec<usize>>,
    by_error: BTreeMap<String, Vec<usize>>,
    index: Index,
}

impl Library {
    /// The runbooks that come with the aggregator, and those of a directory.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file and line.
    pub fn load(directory: Option<&Path>, known: &Known) -> Result<Self, RunbookError> {
        let mut books: BTreeMap<String, Runbook> = BTreeMap::new();
        for (name, text) in BUILTIN {
            take(&mut books, parse(name, text, known, None)?, name)?;
        }
        for path in directory.map(files).transpose()?.unwrap_or_default() {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|source| RunbookError::Read { path: name.clone(), source })?;
            let book = parse(&name, &text, known, Some(Arc::from(name.as_str())))?;
            take(&mut books, book, &name)?;
        }
        Ok(Self::new(books.into_values()))
    }

    fn new(books: impl Iterator<Item = Runbook>) -> Self {
        let books: Vec<Arc<Runbook>> = books.map(Arc::new).collect();
        let by = |names: fn(&Runbook) -> &[String]| {
            let mut map: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (at, book) in books.iter().enumerate() {
                for name in names(book) {
                    map.entry(name.clone()).or_default().push(at);
                }
            }
            map
        };
        Self {
            by_id: books.iter().enumerate().map(|(at, b)| (b.id.clone(), at)).collect(),
            by_rule: by(|b| &b.rules),
            by_event: by(|b| &b.events),
            by_error: by(|b| &b.errors),
            index: Index::new(books.iter().map(|book| document(book))),
            books,
        }
    }

    /// All of them, by id.
    #[must_use]
    pub fn all(&self) -> &[Arc<Runbook>] {
        &self.books
    }

    /// The runbook of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Runbook>> {
        self.by_id.get(id).map(|at| &self.books[*at])
    }

    /// Those that answer a rule's findings.
    pub fn of_rule(&self, rule: &str) -> impl Iterator<Item = &Arc<Runbook>> {
        self.found(&self.by_rule, rule)
    }

    /// Those that answer events of a type.
    pub fn of_event(&self, kind: &str) -> impl Iterator<Item = &Arc<Runbook>> {
        self.found(&self.by_event, kind)
    }

    /// Those that answer a class of errors.
    pub fn of_error(&self, class: &str) -> impl Iterator<Item = &Arc<Runbook>> {
        self.found(&self.by_error, class)
    }

    /// Those whose words a text has, best first, with their relevance (0 to 1) and the words.
    #[must_use]
    pub fn search(&self, text: &str) -> Vec<(&Arc<Runbook>, f64, Vec<String>)> {
        let hits = self.index.search(text).into_iter();
        hits.map(|hit| (&self.books[hit.document], hit.relevance, hit.words)).collect()
    }

    fn found<'a>(
        &'a self,
        map: &'a BTreeMap<String, Vec<usize>>,
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<Runbook>> {
        map.get(name).into_iter().flatten().map(|at| &self.books[*at])
    }
}

/// What is searched of a runbook, by weight.
fn document(book: &Runbook) -> Document {
    let of = |list: &[String]| list.join("\n");
    let steps = book.checks.iter().chain(&book.steps);
    let steps: Vec<&str> = steps
        .flat_map(|s| [s.text.as_str()].into_iter().chain(s.commands.iter().map(String::as_str)))
        .collect();
    Document {
        fields: vec![
            (4.0, book.title.clone()),
            (4.0, of(&book.keywords)),
            (3.0, of(&book.rules)),
            (3.0, of(&book.errors)),
            (3.0, of(&book.symptoms)),
            (1.0, book.id.clone()),
            (0.5, steps.join("\n")),
            (0.5, book.body.clone()),
        ],
    }
}

fn take(
    books: &mut BTreeMap<String, Runbook>,
    book: Runbook,
    file: &str,
) -> Result<(), RunbookError> {
    let known = books.get(&book.id);
    let replaced = known.is_some_and(|k| k.file.is_none() && book.file.is_some() && book.replaces);
    let what = match known {
        Some(known) if !replaced => {
            let other = known.file.as_deref().unwrap_or("the aggregator's own");
            format!("id: {} stands in {other}, too; replaces = true takes its place", book.id)
        }
        None if book.replaces => format!("replaces: there is no runbook {} to replace", book.id),
        _ => {
            books.insert(book.id.clone(), book);
            return Ok(());
        }
    };
    Err(RunbookError::Content { file: file.into(), line: 2, what })
}

/// The Markdown files of a directory, by name.
fn files(directory: &Path) -> Result<Vec<PathBuf>, RunbookError> {
    Ok(listing(directory)?.into_iter().map(|(path, ..)| path).collect())
}

/// What tells that a directory has changed: names, sizes, times.
type Listing = Vec<(PathBuf, u64, Option<std::time::SystemTime>)>;

fn listing(directory: &Path) -> Result<Listing, RunbookError> {
    let failed = |source| RunbookError::Read { path: directory.display().to_string(), source };
    let (mut found, mut bytes) = (Listing::new(), 0);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|e| e != "md") {
            continue;
        }
        // A ConfigMap's files are links.
        let data = std::fs::metadata(&path).map_err(failed)?;
        if data.is_file() {
            bytes += data.len();
            found.push((path, data.len(), data.modified().ok()));
        }
        if found.len() > MAX_FILES || bytes > MAX_DIRECTORY_BYTES {
            let path = directory.display().to_string();
            let what = format!("over {MAX_FILES} files or {MAX_DIRECTORY_BYTES} bytes");
            return Err(RunbookError::Directory { path, what });
        }
    }
    found.sort();
    Ok(found)
}

/// The library as it is now.
#[derive(Debug)]
pub struct Runbooks {
    directory: Option<PathBuf>,
    known: Known,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    library: Arc<Library>,
    /// None when it could not be read.
    listing: Option<Listing>,
    looked_ms: i64,
    error: String,
}

impl Runbooks {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// As [`Library::load`].
    pub fn load(directory: Option<PathBuf>, known: Known) -> Result<Self, RunbookError> {
        let listing = directory.as_deref().map(listing).transpose()?;
        let library = Arc::new(Library::load(directory.as_deref(), &known)?);
        let state = State { library, listing, looked_ms: 0, error: String::new() };
        Ok(Self { directory, known, state: RwLock::new(state) })
    }

    /// The library, with what has changed in the directory. Reads the disk.
    #[must_use]
    pub fn now(&self, now_ms: i64) -> Arc<Library> {
        let Some(directory) = &self.directory else {
            return Arc::clone(&self.state.read().library);
        };
        {
            let state = self.state.read();
            if (0..LOOK_EVERY_MS).contains(&now_ms.saturating_sub(state.looked_ms)) {
                return Arc::clone(&state.library);
            }
        }
        let mut state = self.state.write();
        state.looked_ms = now_ms;
        let (listing, read) = match listing(directory) {
            Ok(new) if state.listing.as_ref() == Some(&new) => return Arc::clone(&state.library),
            Ok(new) => (Some(new), Library::load(Some(directory), &self.known)),
            Err(error) => (None, Err(error)),
        };
        state.listing = listing;
        match read {
            Ok(library) => {
                info!(runbooks = library.all().len(), "runbooks were read again");
                state.library = Arc::new(library);
                state.error.clear();
            }
            Err(error) => {
                let error = chain(&error);
                if error != state.error {
                    warn!(error, "runbooks cannot be used, those read before stay");
                    state.error = error;
                }
            }
        }
        Arc::clone(&state.library)
    }

    /// Why the directory's newest state is not used; empty when it is.
    #[must_use]
    pub fn error(&self) -> String {
        self.state.read().error.clone()
    }
}
