//! `changegate audit drift --sweep`: every deployment as it is now, held against the log.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::arguments::DriftArgs;
use super::drift::lines;
use super::layout::Layout;
use super::printer::print_spans;
use super::text::plain;
use super::{Environment, Failure, Zone, open, print_json, unanswered};
use crate::audit::query::{Cursor, DriftNow, LIMIT_MAX, LastLeft, PageRequest, Reader};
use crate::audit::record::Change;
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::cli::print::{self, Shade};
use crate::cli::progress::Progress;
use crate::cli::proxy::{Answered, ProxyClient, path};
use crate::cli::terminal::Terminal;
use crate::deployment;
use crate::provider::{Operation, Provider};

/// How often a deployment is looked at anew that was changed meanwhile, or that a limit held up.
const LOOKS_MAX: u8 = 5;

/// The longest wait for a limit.
const HELD_UP_MAX: Duration = Duration::from_mins(2);

/// The finding of one deployment.
enum Finding {
    Same,
    Drift(DriftNow),
    /// Upstream has it no longer, though no recorded change archived it.
    Gone(Box<Change>),
    /// Nothing can be told.
    Unclear(String),
}

/// The findings of all, counted.
#[derive(Default)]
struct Tally {
    looked_at: usize,
    drifted: usize,
    gone: usize,
    unclear: usize,
}

struct Sweep<'a> {
    reader: Reader,
    client: ProxyClient,
    clock: Clock,
    /// When the next deployment may be asked for, and the pause behind it.
    next: Instant,
    pause: Duration,
    arguments: &'a DriftArgs,
}

/// Looks at all of them, the newest changed first.
pub(super) async fn run(arguments: &DriftArgs, environment: &Environment) -> Result<(), Failure> {
    let token_env = arguments.token_env.as_deref().unwrap_or_default();
    let client = ProxyClient::of(&arguments.via, token_env, &arguments.file, environment)?;
    let (reader, clock) = (open(&arguments.file, environment).await?, Clock::System);
    let (next, pause) = (clock.instant(), Duration::from_secs(1) / u32::from(arguments.per_second));
    let mut sweep = Sweep { reader, client, clock, next, pause, arguments };
    let tally = sweep.all(environment).await?;
    let Tally { looked_at, drifted, gone, unclear } = tally;
    let not_told = if unclear == 0 { String::new() } else { format!(", {unclear} can't be told") };
    let held = format!(
        "{} looked at, {drifted} changed around the gateway, {gone} gone{not_told}",
        counted(looked_at, "deployment")
    );
    if drifted + gone > 0 {
        return Err(Failure::NotHeld(anyhow!(held)));
    }
    if unclear > 0 {
        return Err(Failure::NotCarriedOut(anyhow!(held)));
    }
    print::error_line(&held);
    Ok(())
}

impl Sweep<'_> {
    async fn all(&mut self, environment: &Environment) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let mut progress = Progress::new(self.clock.instant());
        if let Some(id) = &self.arguments.deployment_id {
            self.one(id, environment, &mut tally).await?;
            return Ok(tally);
        }
        let mut page = PageRequest { limit: LIMIT_MAX, cursor: None };
        loop {
            let part = self.reader.deployments(page, false).await.map_err(unanswered)?;
            for deployment in &part.data {
                self.one(&deployment.id, environment, &mut tally).await?;
                progress.tell(&self.clock, || {
                    format!("{} looked at, {} changed …", tally.looked_at, tally.drifted)
                });
            }
            page.cursor =
                part.next_cursor.as_deref().map(Cursor::parse).transpose().map_err(unanswered)?;
            if page.cursor.is_none() {
                return Ok(tally);
            }
        }
    }

    /// Looks at a deployment, and prints what is to be told of it.
    async fn one(
        &mut self,
        id: &str,
        environment: &Environment,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let finding = self.finding(id).await?;
        tally.looked_at += 1;
        match &finding {
            Finding::Same => return Ok(()),
            Finding::Drift(_) => tally.drifted += 1,
            Finding::Gone(_) => tally.gone += 1,
            Finding::Unclear(_) => tally.unclear += 1,
        }
        if self.arguments.part.shown.is_for_programs() {
            return print_json(&[finding.told(id)]);
        }
        let now = self.clock.now();
        let zone = Zone::found(environment, now, self.arguments.part.shown.zone.utc);
        let layout = Layout::of(Terminal::found(environment));
        let spans = match &finding {
            Finding::Same => Vec::new(),
            Finding::Drift(drift) => lines(&json!(drift), &zone, &layout),
            Finding::Gone(last) => layout.shaded(
                &format!(
                    "{}: upstream has it no longer, though {} did not archive it",
                    plain(id),
                    last.id
                ),
                Shade::Unclear,
            ),
            Finding::Unclear(why) => {
                layout.shaded(&format!("{}: {}", plain(id), plain(why)), Shade::Faint)
            }
        };
        print_spans(&spans, layout.colour)
    }

    async fn finding(&mut self, id: &str) -> Result<Finding, Failure> {
        for _ in 0..LOOKS_MAX {
            let Some(former) = self.left(id).await? else {
                return Ok(Finding::Unclear("the log does not tell how it was left".to_owned()));
            };
            let Some(provider) = Provider::named(&former.provider) else {
                let why = format!("this version does not know {}", former.provider);
                return Ok(Finding::Unclear(why));
            };
            let answer = self.ask(provider, id).await?;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                self.hold_up(&answer);
                continue;
            }
            // A change that came meanwhile explains what is shown.
            if self.left(id).await?.is_none_or(|now| now.id != former.id) {
                continue;
            }
            return Ok(self.compared(former, id, &answer));
        }
        Ok(Finding::Unclear("it is changed, or a limit is reached, again and again".to_owned()))
    }

    /// The change that left it as the log has it; a while later where one is on its way.
    async fn left(&self, id: &str) -> Result<Option<Box<Change>>, Failure> {
        for _ in 0..LOOKS_MAX {
            match self.reader.last_left(id).await.map_err(unanswered)? {
                LastLeft::By(change) => return Ok(Some(change)),
                LastLeft::Unknown => return Ok(None),
                LastLeft::Changing => tokio::time::sleep(self.pause).await,
            }
        }
        Ok(None)
    }

    async fn ask(&mut self, provider: &Provider, id: &str) -> Result<Answered, Failure> {
        tokio::time::sleep_until(self.next.into()).await;
        self.next = self.clock.instant() + self.pause;
        let path = path(provider, id, Operation::Update);
        self.client.call(Method::GET, &path, &[], None).await
    }

    /// Waits before the next question as long as a limit says.
    fn hold_up(&mut self, answer: &Answered) {
        let seconds = answer.field("retry-after").and_then(|text| text.parse().ok());
        let wait = Duration::from_secs(seconds.unwrap_or(1)).min(HELD_UP_MAX);
        self.next = self.clock.instant() + wait;
    }

    fn compared(&self, former: Box<Change>, id: &str, answer: &Answered) -> Finding {
        let is_shown = answer.status.is_success();
        if is_shown && deployment::id_of(&answer.body) == Some(id) {
            let drift = DriftNow::since(&former, &answer.body, self.clock.now());
            return drift.map_or(Finding::Same, Finding::Drift);
        }
        let is_archived = former.operation == Operation::Archive;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE if is_archived => Finding::Same,
            StatusCode::NOT_FOUND | StatusCode::GONE => Finding::Gone(former),
            status => {
                let why = answer.message();
                Finding::Unclear(why.unwrap_or_else(|| format!("the gateway answered {status}")))
            }
        }
    }
}

impl Finding {
    /// The finding as one object.
    fn told(&self, id: &str) -> Value {
        match self {
            Self::Same => json!({ "deployment_id": id }),
            Self::Drift(drift) => json!(drift),
            Self::Gone(last) => json!({ "deployment_id": id, "gone": true, "after": last.id }),
            Self::Unclear(why) => json!({ "deployment_id": id, "unclear": why }),
        }
    }
}
