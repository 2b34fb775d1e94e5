//! Hashes of the tree as the log has them, and what follows from them.

use super::evidence::proof::{Known, Plan};
use super::evidence::tree::{Frontier, Hash, fold};
use super::store::{Boxed, Reads};

/// The right edge of the tree of that size.
pub(super) async fn frontier(reads: &Reads, size: u64) -> Result<Frontier, Boxed> {
    let plan = Plan::of_tree(size);
    let roots = plan.made(&known(reads, &plan).await?);
    let frontier = roots.and_then(|roots| Frontier::new(size, roots));
    frontier.ok_or_else(|| "hashes of the tree are missing: `changegate audit verify` tells".into())
}

/// The root of the tree when it had that size; `None` where hashes are missing.
pub(super) async fn root(reads: &Reads, size: u64) -> Result<Option<Hash>, Boxed> {
    if size == 0 {
        return Ok(Some(Frontier::default().root()));
    }
    let plan = Plan::of_tree(size);
    Ok(plan.made(&known(reads, &plan).await?).and_then(|roots| fold(&roots)))
}

/// The proof that the tree of a size has grown from that of a former one (RFC 6962, 2.1.2). Nothing
/// proves what has grown from a tree without leaves.
pub(super) async fn consistency(reads: &Reads, former: u64, size: u64) -> Result<Vec<Hash>, Boxed> {
    let Some(plan) = Plan::of_consistency(former, size) else { return Ok(Vec::new()) };
    let hashes = plan.made(&known(reads, &plan).await?);
    hashes.ok_or_else(|| "hashes of the tree are missing: `changegate audit verify` tells".into())
}

/// The hashes that a plan needs, as far as they are there.
pub(super) async fn known(reads: &Reads, plan: &Plan) -> Result<Known, Boxed> {
    let mut known = Known::default();
    for needed in plan.needed() {
        let first = needed.range.start;
        let hashes = reads.hashes(needed.level, needed.range).await?;
        known.add(needed.level, first, &hashes);
    }
    Ok(known)
}
