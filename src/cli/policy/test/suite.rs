//! The files of cases that are run, each with the policy that it is about.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, anyhow};

use super::TestArgs;
use crate::base::count::counted;
use crate::base::file::text_within;
use crate::cli::{Environment, Failure, print};
use crate::config::policy_file::{self, PolicySource};
use crate::policy::Policy;
use crate::policy::case::{Case, CaseFile};
use crate::provider::Provider;
use crate::settings::complaint::Complaint;
use crate::settings::reader::read_text;

/// The end of the names of files of cases.
const SUFFIX: &str = ".test.toml";

/// The longest file of cases, in bytes: recorded changes make long ones.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The most files of one run.
const FILES_MAX: usize = 1_000;

/// A policy and where it stands.
#[derive(Debug)]
pub(super) struct LoadedPolicy {
    pub(super) path: PathBuf,
    pub(super) policy: Policy,
}

/// The cases of one file, and the policy that they are about.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) path: PathBuf,
    pub(super) policy: Rc<LoadedPolicy>,
    pub(super) provider: &'static Provider,
    pub(super) cases: Vec<Case>,
}

/// What the command line and the configuration say of all files.
struct Given<'a> {
    arguments: &'a TestArgs,
    environment: &'a Environment,
    provider: Option<&'static Provider>,
    /// Read where something is asked of it.
    config: OnceCell<Option<PolicySource>>,
}

/// A file of cases as it was typed, and what it is about.
struct Draft {
    path: PathBuf,
    file: CaseFile,
    policy: PathBuf,
    provider: &'static Provider,
}

/// Finds the files, checks the policies that they are about, and reads their cases.
pub(super) fn find(arguments: &TestArgs, environment: &Environment) -> Result<Vec<Suite>, Failure> {
    let provider = arguments.provider.as_deref().map(provider).transpose()?;
    let given = Given { arguments, environment, provider, config: OnceCell::new() };
    let drafts = given.drafts()?;
    let policies = policies(&drafts)?;
    let mut complaints = Vec::new();
    let mut suites = Vec::new();
    for Draft { path, file, policy, provider } in drafts {
        let Some(policy) = policies.get(&(policy, provider.name)).cloned() else { continue };
        let read = file.cases(&policy.policy, provider, &mut |path| read_text(path));
        match read {
            Ok(cases) => suites.push(Suite { path, policy, provider, cases }),
            Err(found) => complaints.extend(found),
        }
    }
    refuse(&complaints)?;
    Ok(suites)
}

/// The policies, each checked: what is wrong with one, no case can tell.
fn policies(
    drafts: &[Draft],
) -> Result<HashMap<(PathBuf, &'static str), Rc<LoadedPolicy>>, Failure> {
    let mut complaints = Vec::new();
    let mut policies = HashMap::new();
    for Draft { policy: path, provider, .. } in drafts {
        let key = (path.clone(), provider.name);
        if policies.contains_key(&key) {
            continue;
        }
        match policy_file::load(path, provider) {
            Ok(policy) => {
                let loaded = LoadedPolicy { path: path.clone(), policy };
                policies.insert(key, Rc::new(loaded));
            }
            Err(found) => complaints.extend(found),
        }
    }
    complaints.dedup();
    refuse(&complaints)?;
    Ok(policies)
}

/// Tells complaints, each with its place.
pub(in crate::cli::policy) fn refuse(complaints: &[Complaint]) -> Result<(), Failure> {
    let Some(first) = complaints.first() else { return Ok(()) };
    complaints.iter().for_each(print::complaint);
    let files: Vec<&Path> = complaints.iter().map(|complaint| complaint.file.as_path()).collect();
    let is_one = files.iter().all(|file| *file == first.file);
    let count = complaints.len();
    let errors = counted(count, "error");
    let file = if is_one { first.file.display().to_string() } else { "a file".to_owned() };
    Err(Failure::Usage(anyhow!("{file} is not valid: fix the {errors} named above")))
}

fn provider(name: &str) -> Result<&'static Provider, Failure> {
    Provider::named(name).ok_or_else(|| {
        let names = Provider::ALL.map(|provider| provider.name).join(", ");
        Failure::Usage(anyhow!("--provider {name:?} is not served: write one of {names}"))
    })
}

impl Given<'_> {
    fn drafts(&self) -> Result<Vec<Draft>, Failure> {
        let (paths, beside) = self.paths()?;
        let mut complaints = Vec::new();
        let mut drafts = Vec::new();
        for path in paths {
            let text = text_within(&path, FILE_BYTES_MAX);
            let unread = || format!("can't read {}", path.display());
            let text = text.with_context(unread).map_err(Failure::Usage)?;
            let file = match CaseFile::read(&path, &text) {
                Ok(file) => file,
                Err(found) => {
                    complaints.extend(found);
                    continue;
                }
            };
            // Of the files beside a policy, those that are about another one are left out.
            let is_others =
                |beside: &PathBuf| file.policy.as_ref().is_some_and(|own| !is_same(own, beside));
            if beside.as_ref().is_some_and(is_others) {
                continue;
            }
            let policy = self.policy(&file)?;
            let provider = self.provider_of(&file)?;
            drafts.push(Draft { path, file, policy, provider });
        }
        refuse(&complaints)?;
        Ok(drafts)
    }

    /// The files of cases; where none are given, the policy that they stand beside as well.
    fn paths(&self) -> Result<(Vec<PathBuf>, Option<PathBuf>), Failure> {
        let mut paths = Vec::new();
        for given in &self.arguments.files {
            if given.is_dir() {
                paths.extend(in_folder(given)?);
            } else {
                paths.push(given.clone());
            }
        }
        let mut beside = None;
        if self.arguments.files.is_empty() {
            let policy = self.common_policy()?;
            let folder = policy.parent().filter(|folder| !folder.as_os_str().is_empty());
            paths = in_folder(folder.unwrap_or(Path::new(".")))?;
            beside = Some(policy);
        }
        if paths.len() > FILES_MAX {
            let message = format!("there are more than {FILES_MAX} files: name fewer of them");
            return Err(Failure::Usage(anyhow!(message)));
        }
        Ok((paths, beside))
    }

    /// The policy of files that name none.
    fn common_policy(&self) -> Result<PathBuf, Failure> {
        if let Some(policy) = &self.arguments.policy {
            return Ok(policy.clone());
        }
        let configured = self.config()?.and_then(|config| config.file.clone());
        configured.ok_or_else(|| {
            let path = self.arguments.config.path(self.environment).display();
            Failure::Usage(anyhow!("{path} names no policy: give --policy FILE or --config FILE"))
        })
    }

    fn policy(&self, file: &CaseFile) -> Result<PathBuf, Failure> {
        match (&self.arguments.policy, &file.policy) {
            (None, Some(own)) => Ok(own.clone()),
            _ => self.common_policy(),
        }
    }

    fn provider_of(&self, file: &CaseFile) -> Result<&'static Provider, Failure> {
        if let Some(provider) = self.provider.or(file.provider) {
            return Ok(provider);
        }
        let configured = self.config()?.and_then(|config| config.provider);
        Ok(configured.unwrap_or(Provider::ALL[0]))
    }

    /// The configuration, where there is one; one that is named must be there.
    fn config(&self) -> Result<Option<&PolicySource>, Failure> {
        if let Some(known) = self.config.get() {
            return Ok(known.as_ref());
        }
        let path = self.arguments.config.path(self.environment);
        let is_named = self.arguments.config.is_named(self.environment);
        let found = if is_named || path.exists() {
            let read = policy_file::read(path, self.environment.variables());
            Some(read.map_err(|complaints| {
                complaints.iter().for_each(print::complaint);
                let path = path.display();
                Failure::Usage(anyhow!("{path} can't be read: fix it, or give --policy FILE"))
            })?)
        } else {
            None
        };
        Ok(self.config.get_or_init(|| found).as_ref())
    }
}

/// The files of cases in a folder, sorted by name.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let broken = || format!("can't read {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(broken).map_err(Failure::Usage)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(broken).map_err(Failure::Usage)?.path();
        let is_cases = path.file_name().is_some_and(|name| {
            name.to_str().is_some_and(|name| name.ends_with(SUFFIX) && name.len() > SUFFIX.len())
        });
        if is_cases {
            // As it was named: `./` before each name says nothing.
            found.push(path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned));
        }
        if found.len() > FILES_MAX {
            break;
        }
    }
    found.sort();
    Ok(found)
}

/// Whether two paths lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
