//! `changegate policy test`: cases of files, judged by the policy that they are about.

mod human;
mod junit;
mod report;
mod suite;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgAction, Args};
use regex_lite::Regex;

use self::suite::Suite;
pub(super) use self::suite::refuse;
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::cli::terminal::Terminal;
use crate::cli::{ConfigFile, Environment, Failure, print};
use crate::policy::case::Case;
use crate::policy::case::coverage::Coverage;
use crate::policy::case::verdict::{Explained, Verdict, explain, judge};

/// The arguments of `policy test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Files of cases, or folders of such; by default every *.test.toml beside the policy.
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// The policy that is tested; by default the one that a file of cases names, else
    /// `policy.file` of the configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The provider whose deployments they are; by default the one that a file of cases names,
    /// else that of the configuration, else qoder-cn.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Run only cases whose name has a match of this regular expression.
    #[arg(long, value_name = "REGEX")]
    run: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Write a report in the form of `JUnit` as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Tell for each rule in how many cases it was satisfied, violated and so on.
    #[arg(long)]
    coverage: bool,
    /// Fail where a rule is violated in no case, or satisfied in none.
    #[arg(long)]
    strict: bool,
    /// Print a line for each case, not only for those that fail.
    #[arg(long, short, action = ArgAction::Count)]
    verbose: u8,
}

/// A case that was run.
#[derive(Debug)]
struct Ran {
    case: Case,
    verdict: Verdict,
    /// Where it fails, why rules hold or don't.
    explained: Vec<Explained>,
    took: Duration,
}

/// The cases of a file that were run.
#[derive(Debug)]
struct SuiteRun {
    suite: Suite,
    ran: Vec<Ran>,
}

/// Everything that was run.
#[derive(Debug)]
struct Results {
    suites: Vec<SuiteRun>,
    /// The coverage of each policy, in the order of the files.
    coverage: Vec<Coverage>,
    /// Rules that are not tested from both sides, a sentence each.
    gaps: Vec<String>,
    /// Whether that fails.
    is_strict: bool,
}

/// Runs the command.
pub fn run(arguments: &TestArgs, environment: &Environment) -> Result<(), Failure> {
    let pattern = arguments.run.as_deref().map(pattern).transpose()?;
    let suites = suite::find(arguments, environment)?;
    let results = judge_all(suites, pattern.as_ref(), arguments.strict);
    if let (0, Some(pattern)) = (results.count(), &arguments.run) {
        let message = format!("no case has a name with a match of --run {pattern:?}: fix it");
        return Err(Failure::NotHeld(anyhow!(message)));
    }
    if let Some(path) = &arguments.junit {
        junit::write(path, &results)?;
    }
    let printed = if arguments.json {
        print::line(report::of(&results))
    } else {
        let terminal = Terminal::found(environment).unwrap_or_default();
        human::print(&results, arguments, terminal)
    };
    // What fails must be told by the code even where nobody reads the output.
    results.failure().map_or(printed, Err)
}

fn pattern(text: &str) -> Result<Regex, Failure> {
    Regex::new(text).map_err(|error| {
        Failure::Usage(anyhow!("--run: {text:?} is not a regular expression ({error}): fix it"))
    })
}

/// Judges every case whose name fits.
fn judge_all(suites: Vec<Suite>, pattern: Option<&Regex>, is_strict: bool) -> Results {
    let clock = Clock::default();
    let mut coverage: Vec<Coverage> = Vec::new();
    let mut run = Vec::new();
    for mut suite in suites {
        let at = coverage.iter().position(|known| known.is_of(&suite.policy.path, suite.provider));
        let at = at.unwrap_or_else(|| {
            let policy = &suite.policy;
            coverage.push(Coverage::new(&policy.path, &policy.policy, suite.provider));
            coverage.len() - 1
        });
        let mut ran = Vec::new();
        for case in std::mem::take(&mut suite.cases) {
            if pattern.is_some_and(|pattern| !pattern.is_match(&case.name)) {
                continue;
            }
            let begun = clock.instant();
            let policy = &suite.policy.policy;
            let verdict = judge(policy, suite.provider, &case);
            let explained = explain(policy, suite.provider, &case, &verdict);
            let took = clock.instant().saturating_duration_since(begun);
            if let Some(coverage) = coverage.get_mut(at) {
                coverage.count(&verdict);
            }
            ran.push(Ran { case, verdict, explained, took });
        }
        run.push(SuiteRun { suite, ran });
    }
    let gaps = coverage.iter().flat_map(Coverage::gaps).collect();
    Results { suites: run, coverage, gaps, is_strict }
}

impl Results {
    fn ran(&self) -> impl Iterator<Item = &Ran> {
        self.suites.iter().flat_map(|suite| &suite.ran)
    }

    fn count(&self) -> usize {
        self.ran().count()
    }

    fn failed(&self) -> usize {
        self.ran().filter(|ran| !ran.verdict.passes()).count()
    }

    /// Why the command fails, where it does.
    fn failure(&self) -> Option<Failure> {
        let (count, failed) = (self.count(), self.failed());
        let message = if count == 0 {
            "no case was run: write one in a *.test.toml beside the policy, or name its file"
                .to_owned()
        } else if failed > 0 {
            format!("{failed} of {} failed: fix the policy or the cases", counted(count, "case"))
        } else if !self.is_strict {
            return None;
        } else if let [only] = &self.gaps[..] {
            format!("--strict: {only}")
        } else if !self.gaps.is_empty() {
            format!("--strict: {} things are not tested, named above", self.gaps.len())
        } else {
            return None;
        };
        Some(Failure::NotHeld(anyhow!(message)))
    }
}
