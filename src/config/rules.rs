//! The policy file that a configuration names.

use std::path::PathBuf;

use super::Actors;
use super::policy_file::{about, of_text};
use crate::base::excerpt::excerpt;
use crate::base::ids::Fingerprint;
use crate::policy::load::LoadError;
use crate::policy::{Mention, MentionKind, Policy};
use crate::provider::Provider;
use crate::settings::complaint::{Complaint, Location};
use crate::settings::reader::{Reader, read_text};

/// The most characters of a name that a doubt shows.
const NAME_CHARS_MAX: usize = 128;

/// Reads `policy.file`, for deployments of a provider. A log that several gateways share may serve
/// a policy to those that have none.
pub(super) fn read(
    reader: &mut Reader<'_>,
    provider: &'static Provider,
    is_shared: bool,
    actors: &Actors,
    files: &mut Vec<PathBuf>,
) -> Option<Policy> {
    if reader.place("policy.file").is_none() {
        let message = if is_shared {
            "no `policy.file`: every change is recorded, and what is forbidden is up to the log \
             (`changegate policy push`)"
        } else {
            "no `policy.file`: every change is recorded and none is forbidden"
        };
        reader.complaints.warn(&Location::File, message);
        return Some(Policy::default());
    }
    let (path, place) = reader.path("policy.file")?;
    files.push(path.clone());
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("`policy.file`: {why}: name a readable file");
            reader.complaints.error(&place, &message);
            return None;
        }
    };
    let loaded = of_text(&path, &text, provider);
    match loaded {
        Ok(policy) => {
            for doubt in strangers(&policy, actors).into_iter().chain(policy.doubts.clone()) {
                let LoadError { line, column, message } = doubt;
                let doubt = Complaint { warning: true, column, ..about(&path, line, message) };
                reader.complaints.add_whole(doubt);
            }
            Some(policy)
        }
        Err(complaints) => {
            for complaint in complaints {
                reader.complaints.add_whole(complaint);
            }
            None
        }
    }
}

/// The doubts about actors and teams that the policy names and no `[[actor]]` has. A fingerprint
/// is a token's, whether that is listed or not.
fn strangers(policy: &Policy, actors: &Actors) -> Vec<LoadError> {
    let is_stranger = |mention: &&Mention| {
        let name = mention.name.as_str();
        match mention.kind {
            MentionKind::Actor => {
                let is_token = name.parse::<Fingerprint>().is_ok();
                !is_token && !actors.names().any(|it| it.is_called(name))
            }
            MentionKind::Team => !actors.names().any(|it| it.team.as_deref() == Some(name)),
        }
    };
    let doubt = |mention: &Mention| {
        let name = excerpt(&mention.name, NAME_CHARS_MAX);
        let message = match mention.kind {
            MentionKind::Actor => format!(
                "no [[actor]] has the name or person \"{name}\", so that nobody is meant: fix the \
                 name, or list the actor"
            ),
            MentionKind::Team => format!(
                "no [[actor]] is of the team \"{name}\", so that nobody is meant: fix the name, or \
                 give an actor this team"
            ),
        };
        LoadError { line: mention.line, column: None, message }
    };
    policy.mentions.iter().filter(is_stranger).map(doubt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ActorName;
    use crate::policy::load::load;

    #[test]
    fn who_is_named_and_not_listed_is_doubted() {
        let text = "[timezones]\nallowed = ['UTC']\nactors = ['bot', 'wang.li', 'Bot']\n\
            except_actors = ['pat_0011223344556677', 'pat_x']\nteams = ['platform', 'bot']\n";
        let policy = load(text, Provider::ALL[0]).unwrap();
        let name = ActorName {
            name: "bot".to_owned(),
            team: Some("platform".to_owned()),
            person: Some("wang.li".to_owned()),
        };
        let token = "pat_0707070707070707".parse().unwrap();
        let actors = Actors { known: [(token, name)].into(), ..Actors::default() };
        let found: Vec<(Option<usize>, String)> = strangers(&policy, &actors)
            .into_iter()
            .map(|LoadError { line, message, .. }| {
                (line, message.split('"').nth(1).unwrap().to_owned())
            })
            .collect();
        let expected = [(Some(3), "Bot"), (Some(5), "bot"), (Some(4), "pat_x")];
        assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
    }
}
