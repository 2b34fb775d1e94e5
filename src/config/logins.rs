//! Logins that somebody else vouches for: `[admin.oidc]`, `[admin.auth_proxy]`, `[admin.roles]`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::Role;
use super::files;
use super::listen::trusted_proxy;
use super::upstream::{is_loopback, place};
use crate::base::key::Token;
use crate::base::peer::PeerAddress;
use crate::settings::complaint::Location;
use crate::settings::raw::Node;
use crate::settings::reader::{Reader, read_text};
use crate::settings::value::{Meant, choice, duration, name, text};

/// The path that an issuer sends browsers back to.
pub(crate) const CALLBACK: &str = "/login/oidc/callback";

/// The shortest session, so that a login leads somewhere.
const SESSION_MIN: Duration = Duration::from_mins(1);

/// The most bytes of a client's secret.
const SECRET_BYTES_MAX: usize = 4 << 10;

/// The most bytes of a URL.
const URL_BYTES_MAX: usize = 2 << 10;

/// The logins beside those by a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// `[admin.oidc]`; `None` where no issuer is named.
    pub oidc: Option<Arc<OidcConfig>>,
    /// `[admin.auth_proxy]`; `None` where no address is listed.
    pub proxy: Option<AuthProxy>,
    /// `[admin.roles]`.
    pub roles: GroupRoles,
}

/// `[admin.oidc]`: an issuer whose people may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// The issuer's URL, as it names itself.
    pub issuer: String,
    /// The name of this console at the issuer.
    pub client_id: String,
    /// The secret of that client; `None` for a public one.
    pub client_secret: Option<Token>,
    /// Where the issuer sends browsers back to.
    pub redirect_url: String,
    /// PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The scopes beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that names the human.
    pub person_claim: String,
    /// The claim that lists their groups.
    pub groups_claim: String,
    /// How long a login lasts.
    pub session: Duration,
}

/// `[admin.auth_proxy]`: proxies that are believed who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthProxy {
    /// Their networks.
    pub networks: Vec<IpNet>,
    /// Whether whoever connects by a socket file is one.
    pub by_socket_file: bool,
    /// The header field that names the human.
    pub user_header: HeaderName,
    /// The header field that lists their groups.
    pub groups_header: HeaderName,
}

/// `[admin.roles]`: what groups of an issuer or a proxy may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRoles {
    /// The groups, the highest role first.
    pub groups: Vec<(Role, Vec<String>)>,
    /// The role of who is in none of them; `None` where they are not let in.
    pub otherwise: Option<Role>,
}

impl Logins {
    /// A digest of everything that a login's rights stand on: with another one it holds no more.
    pub(crate) fn digest(&self) -> [u8; 32] {
        // Secrets print as nothing, and the shape of the rest is this program's own.
        let client = self.oidc.as_ref().and_then(|oidc| oidc.client_secret.as_ref());
        let secret = Sha256::digest(client.map_or("", Token::expose));
        Sha256::new().chain_update(format!("{self:?}")).chain_update(secret).finalize().into()
    }

    /// Whether anybody can log in by them.
    pub(crate) fn are_there(&self) -> bool {
        self.oidc.is_some() || self.proxy.is_some()
    }
}

impl AuthProxy {
    /// Whether a connection is such a proxy's.
    pub(crate) fn is_at(&self, peer: PeerAddress) -> bool {
        match peer {
            PeerAddress::Ip(_) => self.networks.iter().any(|network| network.contains(&peer.ip())),
            PeerAddress::SocketFile => self.by_socket_file,
        }
    }
}

impl GroupRoles {
    /// The highest role of somebody in these groups.
    pub(crate) fn role_of(&self, groups: &[String]) -> Option<Role> {
        let has = |listed: &[String]| listed.iter().any(|group| groups.contains(group));
        let found = self.groups.iter().find(|(_, listed)| has(listed));
        found.map(|(role, _)| *role).or(self.otherwise)
    }
}

/// Reads the three sections.
pub(super) fn read(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Arc<Logins> {
    let (oidc, proxy) = (oidc(reader, files).map(Arc::new), proxy(reader));
    let roles = roles(reader, oidc.is_some() || proxy.is_some());
    Arc::new(Logins { oidc, proxy, roles })
}

fn oidc(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Option<OidcConfig> {
    const NEEDED: [&str; 3] =
        ["admin.oidc.issuer", "admin.oidc.client_id", "admin.oidc.redirect_url"];
    let typed = NEEDED.map(|path| reader.place(path).cloned());
    let some = typed.iter().flatten().next().cloned();
    if let Some(place) = some.or_else(|| reader.place("admin.oidc.client_secret_file").cloned())
        && typed.iter().any(Option::is_none)
    {
        let message =
            "[admin.oidc] needs `issuer`, `client_id` and `redirect_url`: write all three";
        reader.complaints.error(&place, message);
    }
    let issuer = reader.read("admin.oidc.issuer", issuer);
    let client_id = reader.read("admin.oidc.client_id", name(256));
    let redirect_url = reader.read("admin.oidc.redirect_url", redirect_url);
    let client_secret = client_secret(reader, files);
    let ca_file = ca_file(reader, files);
    let scopes = reader.each("admin.oidc.scopes", scope);
    let person_claim = reader.value("admin.oidc.person_claim", name(128));
    let groups_claim = reader.value("admin.oidc.groups_claim", name(128));
    let session = reader.value("admin.oidc.session", duration);
    Some(OidcConfig {
        issuer: issuer?.0,
        client_id: client_id?.0,
        client_secret,
        redirect_url: redirect_url?.0,
        ca_file,
        scopes: scopes.into_iter().map(|(scope, _)| scope).filter(|one| one != "openid").collect(),
        person_claim,
        groups_claim,
        session: session.max(SESSION_MIN),
    })
}

fn ca_file(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Option<PathBuf> {
    let (path, place) = reader.path("admin.oidc.ca_file")?;
    if let Err(message) = files::certificates(&path) {
        reader.complaints.error(&place, &format!("`admin.oidc.ca_file`: {message}"));
    }
    files.push(path.clone());
    Some(path)
}

fn client_secret(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> Option<Token> {
    let (path, place) = reader.path("admin.oidc.client_secret_file")?;
    let told = |message: &str| format!("`admin.oidc.client_secret_file`: {message}");
    files.push(path.clone());
    match secret_in(&path) {
        Ok((secret, is_exposed)) => {
            if is_exposed {
                let shown = path.display();
                let message = told(&format!("{shown} can be read by others: chmod 600 it"));
                reader.complaints.warn(&place, &message);
            }
            Some(secret)
        }
        Err(message) => {
            reader.complaints.error(&place, &told(&message));
            None
        }
    }
}

/// The secret in a file, and whether others than its owner may read it.
fn secret_in(path: &Path) -> Result<(Token, bool), String> {
    let text = read_text(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    let fits = !secret.is_empty()
        && secret.len() <= SECRET_BYTES_MAX
        && !secret.chars().any(char::is_control);
    if !fits {
        let shown = path.display();
        return Err(format!("{shown} holds no secret in one line: write it there"));
    }
    let mode = path.metadata().map(|metadata| metadata.permissions().mode());
    Ok((Token::new(secret), mode.is_ok_and(|mode| mode & 0o077 != 0)))
}

fn proxy(reader: &mut Reader<'_>) -> Option<AuthProxy> {
    let place = reader.place("admin.auth_proxy.addresses").cloned().unwrap_or(Location::File);
    let listed = reader.each("admin.auth_proxy.addresses", trusted_proxy);
    let user_header = reader.read("admin.auth_proxy.user_header", header);
    let groups_header = reader.read("admin.auth_proxy.groups_header", header);
    if listed.is_empty() {
        return None;
    }
    let by_socket_file = listed.iter().any(|(network, _)| network.is_none());
    let networks: Vec<IpNet> = listed.into_iter().filter_map(|(network, _)| network).collect();
    if networks.iter().any(|network| network.prefix_len() == 0) {
        let message = "`admin.auth_proxy.addresses` holds every address, so that anybody can say \
            who they are: name the proxies' own addresses";
        reader.complaints.error(&place, message);
    }
    let (user_header, groups_header) = (user_header?.0, groups_header?.0);
    if user_header == groups_header {
        let message = "`admin.auth_proxy.user_header` and `groups_header` are the same field: name \
            two";
        reader.complaints.error(&place, message);
    }
    Some(AuthProxy { networks, by_socket_file, user_header, groups_header })
}

fn roles(reader: &mut Reader<'_>, is_used: bool) -> GroupRoles {
    const ROLES: [(&str, Role); 4] = [
        ("admin.roles.admin", Role::Admin),
        ("admin.roles.approver", Role::Approver),
        ("admin.roles.auditor", Role::Auditor),
        ("admin.roles.viewer", Role::Viewer),
    ];
    let mut groups = Vec::new();
    for (path, role) in ROLES {
        let listed = reader.each(path, name(256));
        if let Some((_, place)) = listed.first()
            && !is_used
        {
            let message = format!(
                "`{path}` is of no use without [admin.oidc] or [admin.auth_proxy]: add one, or \
                 remove it"
            );
            reader.complaints.warn(place, &message);
        }
        groups.push((role, listed.into_iter().map(|(group, _)| group).collect()));
    }
    let words = choice(&[("viewer", Some(Role::Viewer)), ("none", None)]);
    GroupRoles { groups, otherwise: reader.value("admin.roles.default", words) }
}

/// An issuer's URL: https, without a query (OpenID Connect Discovery, 3).
fn issuer(node: &Node) -> Meant<String> {
    let fix = "write the issuer's URL as its discovery document names it, such as \
        \"https://login.example.com/realms/main\"";
    url(node, fix)
}

/// The whole URL that browsers are sent back to.
fn redirect_url(node: &Node) -> Meant<String> {
    let fix = "write this console's address and /login/oidc/callback, such as \
        \"https://changegate.example.com/login/oidc/callback\"";
    let url = url(node, fix)?;
    let ends_well = url.parse::<Uri>().is_ok_and(|uri| uri.path() == CALLBACK);
    if ends_well { Ok(url) } else { Err(format!("its path is not {CALLBACK}; {fix}")) }
}

/// A URL of https, or of loopback, without a query.
fn url(node: &Node, fix: &str) -> Meant<String> {
    let text = text(node)?;
    let (origin, user, after) = place(&text, [("http", 80), ("https", 443)], fix)?;
    if user.is_some() || after.contains(['?', '#']) || text.len() > URL_BYTES_MAX {
        return Err(format!("no user, query or fragment here; {fix}"));
    }
    if !origin.tls && !is_loopback(&origin.host) {
        return Err(format!("it must be https, so that nobody on the way can read it; {fix}"));
    }
    Ok(text)
}

/// A scope (RFC 6749, 3.3).
fn scope(node: &Node) -> Meant<String> {
    let is_scope = |text: &String| {
        let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        text.len() <= 128 && text.bytes().all(fits)
    };
    text(node).ok().filter(is_scope).ok_or_else(|| "write a scope, such as \"groups\"".to_owned())
}

/// A header field that says something of the human alone.
fn header(node: &Node) -> Meant<HeaderName> {
    const OTHERS: [HeaderName; 4] = [
        http::header::AUTHORIZATION,
        http::header::COOKIE,
        http::header::HOST,
        http::header::ORIGIN,
    ];
    let fix = "write the name of a header field that the proxy sets, such as \"x-forwarded-user\"";
    let named: Option<HeaderName> = node.text().and_then(|text| text.parse().ok());
    named.filter(|name| !OTHERS.contains(name)).ok_or_else(|| fix.to_owned())
}
