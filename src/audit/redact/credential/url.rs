//! Credentials inside URLs: their user part, and paths that are secret as a whole.

use std::ops::Range;

use super::Credentials;
use crate::audit::redact::work::looked;

/// The beginnings of URLs whose rest is a secret: who knows it may post.
const HOOKS: [&str; 6] = [
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "open.feishu.cn/open-apis/bot/",
    "open.larksuite.com/open-apis/bot/",
    "qyapi.weixin.qq.com/cgi-bin/webhook/send?key=",
];

/// The mark of a text that was cut.
const CUT: &str = "…";

impl Credentials<'_> {
    /// The secret part of the URL whose authority (RFC 3986, 3.2) begins at `start`.
    pub(super) fn url(&mut self, start: usize) -> Option<Range<usize>> {
        let ends = |byte: u8| is_space(byte) || b"/?#\\".contains(&byte);
        let end = self.authority_end.find(self.text, start, ends);
        let authority = self.text.part(start, end);
        looked(authority.len());
        let user_end = match authority.iter().rposition(|byte| *byte == b'@') {
            Some(bytes) => Some(start + bytes),
            None if self.is_user(start, end) => self.user_end(end),
            None => None,
        };
        match user_end {
            // A lone `:` or nothing at all is not a user.
            Some(user_end) if self.text.part(start, user_end).iter().any(|byte| *byte != b':') => {
                // A `:` in it stands before no value that goes on behind it.
                self.next = user_end;
                Some(start..user_end)
            }
            _ => self.hook(start),
        }
    }

    /// Whether what stands in an authority's place is a user and a password, which holds what it
    /// may not: behind the last `:` of an authority there is a port.
    fn is_user(&self, start: usize, end: usize) -> bool {
        let authority = self.text.part(start, end);
        looked(authority.len());
        let colon = authority.iter().rposition(|byte| *byte == b':');
        let behind = colon.and_then(|colon| authority.get(colon + 1..)).unwrap_or_default();
        !authority.starts_with(b"[") && behind.iter().any(|byte| !byte.is_ascii_digit())
    }

    /// The end of a user part that goes on behind `from`, or is cut there.
    fn user_end(&mut self, from: usize) -> Option<usize> {
        let is_cut = from.checked_sub(CUT.len()).is_some_and(|cut| self.text.has(cut, CUT));
        if is_cut {
            return Some(from - CUT.len());
        }
        let space = self.space.find(self.text, from, is_space);
        let at_sign = self.at_sign.find(self.text, from, |byte| byte == b'@');
        (at_sign < space).then_some(at_sign)
    }

    /// The rest of a URL that is secret as a whole, whose host stands at `at`.
    pub(super) fn hook(&mut self, at: usize) -> Option<Range<usize>> {
        let hook = HOOKS.iter().find(|hook| self.text.has_in_any_case(at, hook))?;
        let end = self.space.find(self.text, at, is_space);
        Some(at + hook.len()..end).filter(|rest| !rest.is_empty() && self.is_fresh(at))
    }
}

/// Whether a URL ends before such a byte.
fn is_space(byte: u8) -> bool {
    byte <= b' ' || b"\"'<>`{}|^".contains(&byte)
}
