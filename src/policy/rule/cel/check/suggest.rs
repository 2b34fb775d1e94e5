//! Names that may have been meant.

/// The known name that is nearest to one that is not, as a question.
pub(super) fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let lower = name.to_lowercase();
    let near = known
        .map(|known| (strsim::damerau_levenshtein(&known.to_lowercase(), &lower), known))
        .filter(|(distance, known)| *distance <= 1.max(known.len() / 3))
        .min();
    near.map(|(_, known)| format!("did you mean `{known}`?"))
}
