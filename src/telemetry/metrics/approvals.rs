//! Approvals and uses of break-glass.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::audit::approval::{ApprovalKind, ApprovalPart, Verdict};

const OPENED: &str = "opened";
const USED: &str = "used";

/// The steps that this gateway sees; of what passed by break-glass nothing is used later.
const STEPS: [(ApprovalKind, &str); 7] = [
    (ApprovalKind::Request, OPENED),
    (ApprovalKind::Request, Verdict::Approved.name()),
    (ApprovalKind::Request, Verdict::Rejected.name()),
    (ApprovalKind::Request, USED),
    (ApprovalKind::BreakGlass, OPENED),
    (ApprovalKind::BreakGlass, Verdict::Approved.name()),
    (ApprovalKind::BreakGlass, Verdict::Rejected.name()),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    kind: &'static str,
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// Approvals and reviews, by what became of them and by how many wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApprovalFigures {
    steps: Family<StepLabels, Counter>,
    open: Family<KindLabels, Gauge>,
}

impl ApprovalFigures {
    /// None counted yet, each series there from the start.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let figures = Self::default();
        for (kind, step) in STEPS {
            figures.steps.get_or_create_owned(&StepLabels { kind: kind.name(), step });
        }
        for kind in ApprovalKind::ALL {
            figures.note_open(kind, 0);
        }
        let help = "What became of approvals, and of reviews of break-glass, by this gateway";
        registry.register("approval_steps", help, figures.steps.clone());
        let help = "Approvals and reviews that nobody has decided on, as of the last minute";
        registry.register("approvals_open", help, figures.open.clone());
        figures
    }

    /// The counter of the part that an approval has in a change, to be used once that is durable;
    /// `None` where nothing becomes of the approval.
    pub(crate) fn of_part(&self, part: &ApprovalPart) -> Option<Counter> {
        let (kind, step) = match part {
            ApprovalPart::Waits(_) => return None,
            ApprovalPart::Asks(_) => (ApprovalKind::Request, OPENED),
            ApprovalPart::Uses { .. } => (ApprovalKind::Request, USED),
            ApprovalPart::BreaksGlass(_) => (ApprovalKind::BreakGlass, OPENED),
        };
        Some(self.of_step(kind, step))
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, kind: ApprovalKind, verdict: Verdict) {
        self.of_step(kind, verdict.name()).inc();
    }

    /// Notes how many of a kind wait for a decision.
    pub(crate) fn note_open(&self, kind: ApprovalKind, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.open.get_or_create(&KindLabels { kind: kind.name() }).set(count);
    }

    fn of_step(&self, kind: ApprovalKind, step: &'static str) -> Counter {
        self.steps.get_or_create_owned(&StepLabels { kind: kind.name(), step })
    }
}
