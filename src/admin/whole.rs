//! Changes with their bodies, written as the log holds them: a document of tens of megabytes is
//! never made into values to be written, but for finding out where two of them differ.

use std::io::Write;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::answer::Problem;
use super::body::{AnswerBudget, AnswerWriter};
use crate::audit::query::{BodyTexts, Cursor, Page, Texts};
use crate::audit::record::Change;
use crate::export;

/// The bytes of bodies that are written where the question came from; more are written on a thread
/// of their own, since probes are answered here.
const HERE_BYTES_MAX: usize = 64 << 10;

/// The bytes of bodies after which a page ends: each may be megabytes.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// The bodies of one question.
pub(crate) struct Source {
    pub(crate) texts: Texts,
    /// The turn of who reads bodies, held for as long as something is made of them.
    pub(crate) turn: Arc<OwnedSemaphorePermit>,
}

/// One change with its bodies, as JSON.
pub(crate) async fn change(
    change: Change,
    mut source: Source,
    budget: &AnswerBudget,
) -> Result<AnswerWriter, Problem> {
    append(budget.writer(), change, &mut source).await
}

/// A page of changes with their bodies, as JSON. Where those are large, it has fewer.
pub(crate) async fn page(
    page: Page<Change>,
    mut source: Source,
    budget: &AnswerBudget,
) -> Result<AnswerWriter, Problem> {
    let mut writer = budget.writer();
    let (mut has_more, mut next_cursor) = (page.has_more, page.next_cursor);
    let mut last = None;
    write(&mut writer, b"{\"data\":[")?;
    for change in page.data {
        if let Some(seq) = last {
            if source.texts.read_bytes() > PAGE_BYTES_MAX {
                next_cursor = Some(Cursor { seq, until: None }.to_string());
                has_more = true;
                break;
            }
            write(&mut writer, b",")?;
        }
        last = Some(change.seq);
        writer = append(writer, change, &mut source).await?;
    }
    let next_cursor = serde_json::json!(next_cursor);
    let end = format!("],\"next_cursor\":{next_cursor},\"has_more\":{has_more}}}");
    write(&mut writer, end.as_bytes())?;
    Ok(writer)
}

async fn append(
    writer: AnswerWriter,
    change: Change,
    source: &mut Source,
) -> Result<AnswerWriter, Problem> {
    let bodies = source.texts.of(&change).await?;
    let all = [&bodies.patch, &bodies.before, &bodies.after];
    let bytes: usize = all.into_iter().flatten().map(|text| text.len()).sum();
    if bytes <= HERE_BYTES_MAX {
        return whole(writer, &change, &bodies);
    }
    let turn = Arc::clone(&source.turn);
    let write = move || {
        let _until_written = turn;
        whole(writer, &change, &bodies)
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(|error| Problem::store_fails(&error))?
}

fn whole(
    mut writer: AnswerWriter,
    change: &Change,
    bodies: &BodyTexts,
) -> Result<AnswerWriter, Problem> {
    export::whole(change, bodies, &mut writer).map_err(|error| match error.get_ref() {
        Some(inner) if inner.is::<serde_json::Error>() => Problem::store_fails(&error),
        _ => Problem::no_room(),
    })?;
    Ok(writer)
}

fn write(writer: &mut AnswerWriter, bytes: &[u8]) -> Result<(), Problem> {
    writer.write_all(bytes).map_err(|_error| Problem::no_room())
}
