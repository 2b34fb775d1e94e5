//! The name of a deployment's turn.

use sha2::{Digest as _, Sha256};

/// A digest of the deployment, so that no id is in the table of turns.
pub(super) type TurnName = [u8; 16];

/// The name of the turn of a deployment, told by its upstream's name, a NUL, and its id.
pub(super) fn name_of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> TurnName {
    let mut digest = Sha256::new();
    parts.into_iter().for_each(|part| digest.update(part));
    let digest: [u8; 32] = digest.finalize().into();
    let mut name = [0; 16];
    name.iter_mut().zip(digest).for_each(|(kept, byte)| *kept = byte);
    name
}
