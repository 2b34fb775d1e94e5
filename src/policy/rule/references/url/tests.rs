use super::*;

fn names(pattern: &str, url: &str) -> bool {
    let pattern = UrlPattern::parse(pattern).unwrap();
    Url::read(url).is_ok_and(|url| pattern.names(&url))
}

#[test]
fn a_url_is_known_however_it_is_written() {
    for url in [
        "https://git.example.com/team/repo",
        "HTTPS://git.example.com/team/repo",
        "https://GIT.Example.COM/team/repo",
        "https://git.example.com./team/repo",
        "https://git.example.com:443/team/repo",
        "https://git.example.com:0443/team/repo",
        "https://git.example.com:/team/repo",
        "https://token@git.example.com/team/repo",
        "https://user:pass%40word@git.example.com/team/repo",
        "https://git.example.com/te%61m/repo",
        "https://git.example.com/%74eam%2Drepo",
        "https://git.example.com/team/%e5%9b%a2",
        "https://git.example.com/team/\u{56e2}",
        "https://git.example.com/team/a%20b",
        "https://git.example.com/team/repo?ref=main#readme",
        "https://git.example.com/",
        "https://git.example.com",
        "https://git.example.com/team//repo",
        "https://git.example.com/team/...",
        "https://git.example.com/team/.git",
    ] {
        assert!(names("https://git.example.com/*", url), "{url}");
        assert!(names("https://*.example.com/*", url), "{url}");
        assert!(names("https://*/*", url) && names("*", url), "{url}");
    }
    assert!(names("https://git.example.com/\u{56e2}/*", "https://git.example.com/%E5%9B%A2/a"));
    assert!(names("https://git.example.com:8443/*", "https://git.example.com:8443/a"));
    assert!(names("ssh://git.example.com/team/*", "git@git.example.com:team/repo.git"));
    assert!(names("ssh://git.example.com/team/*", "git@git.example.com:/team/repo.git"));
    assert!(names("ssh://git.example.com/team/*", "ssh://git@git.example.com:22/team/repo.git"));
    assert!(names("https://[::1]/*", "https://[::1]:443/a"));
    assert!(names("https://h/*?ref=*", "https://h/a?ref=main"));
    assert!(names("https://h/a.git", "https://h/a.git"));
}

/// Hosts that are another's, however they are dressed up.
const OTHER_HOSTS: [&str; 34] = [
    "evil.com",
    "git.example.com.evil.com",
    "git.example.com@evil.com",
    "git.example.com:443@evil.com",
    "git.example.com%2f@evil.com",
    "git.example.com%40evil.com",
    "git.example.com%00.evil.com",
    "git.example.com\\@evil.com",
    "evil.com\\@git.example.com",
    "evil.com;@git.example.com",
    "evil.com#@git.example.com",
    "evil.com?@git.example.com",
    "evil.com/@git.example.com",
    "evil.com@git.example.com@evil.com",
    "a@evil.com@git.example.com",
    "[git.example.com]",
    "git.example.com[",
    "git.example.com:443:443",
    "git.example.com:443a",
    "git.example.com:99999",
    "git.example.com:+443",
    "git.example.com..",
    "git..example.com",
    ".git.example.com",
    "git.example\u{3002}com",
    "git.example.com\u{ff0f}evil.com",
    "g\u{456}t.example.com",
    "\u{ff47}it.example.com",
    "git.ex\u{ad}ample.com",
    "git.example.com ",
    " git.example.com",
    "git.exam\tple.com",
    "git.example.com\n",
    "",
];

#[test]
fn no_disguised_host_passes() {
    for host in OTHER_HOSTS {
        for scheme in ["https", "HTTPS"] {
            for path in ["/team/repo", "", "/"] {
                let url = format!("{scheme}://{host}{path}");
                assert!(!names("https://git.example.com/*", &url), "{url:?}");
            }
        }
    }
}

/// Beginnings that some reader takes for `https://`.
#[test]
fn no_disguised_scheme_passes() {
    for start in [
        "http://",
        "ssh://",
        "git+https://",
        "git::https://",
        "https:",
        "https:/",
        "https:\\\\",
        "https:///",
        "https:\t//",
        " https://",
        "\u{feff}https://",
        "//",
        "/",
        "",
        "\nhttps://",
        "javascript:https://",
        "file://",
        "https://https://",
        "view-source:https://",
        "httpS\0://",
        "\u{ff48}ttps://",
        "url:https://",
        "-https://",
        "ext::sh -c https://",
        "1https://",
    ] {
        let url = format!("{start}git.example.com/team/repo");
        assert!(!names("https://git.example.com/*", &url), "{url:?}");
    }
}

/// Ways out of `/team/`.
#[test]
fn no_path_leads_out_of_where_it_may_lie() {
    for path in [
        "/team/../other/repo",
        "/team/..",
        "/team/.",
        "/team/./../other",
        "/team/%2e%2e/other",
        "/team/%2E%2e/other",
        "/team/.%2e/other",
        "/team/%2e./other",
        "/team/..;/other",
        "/team/..;a=b/other",
        "/team/%2e%2e%2fother",
        "/team/..%2fother",
        "/team/..%5cother",
        "/team/..\\other",
        "/team/%252e%252e/other",
        "/team/..%252fother",
        "/team/..%3b/other",
        "/team/\u{ff0e}\u{ff0e}/other",
        "/team/..\u{ff0f}other",
        "/team/..\u{2215}other",
        "/team/%",
        "/team/%2",
        "/team/%zz",
        "/team/%+1",
        "/team/a\u{200b}b",
        "/team/a b",
        "/team/a\tb",
        "/team/a\0b",
        "/team/a%00b",
        "/team/a%0ab",
        "/team/a\u{a0}b",
        "/team/{a}",
        "/team/|a",
        "/team/<a>",
        "/team/^a",
        "/Team/a",
        "/TEAM/a",
        "/tea%4d/a",
        "/teams/a",
        "//team/a",
        "/other/../team/a",
        "/./team/a",
        "/team%2fa",
        "/team\u{2024}./a",
        "/team",
        "/x/team/a",
        "?/team/a",
        "#/team/a",
        "/?/team/a",
        "/other?/team/a",
        "/team/a%3f",
    ] {
        let url = format!("https://git.example.com{path}");
        assert!(!names("https://git.example.com/team/*", &url), "{url:?}");
    }
    // A star does not reach from the path into the query.
    assert!(!names("https://h/*/repo", "https://h/a?x=/repo"));
    assert!(!names("https://h/repo", "https://h/repo?a"));
    assert!(!names("https://h/repo", "https://h/repo#a"));
    assert!(!names("https://h/*?ref=main", "https://h/a"));
    assert!(!names("ssh://git.example.com/team/*", "git@git.example.com:team/../other"));
    assert!(!names("ssh://git.example.com/team/*", "git@git.example.com:~team/a"));
    assert!(!names("ssh://git.example.com/*", "git@evil.com:git.example.com/a"));
    assert!(!names("ssh://git.example.com/*", "-oProxyCommand=x@git.example.com:a b"));
    assert!(!names("https://*.example.com/*", "https://example.com/a"));
    assert!(!names("https://*.example.com/*", "https://evilexample.com/a"));
    assert!(!names("https://git.example.com/*", "https://git.example.com:8443/a"));
    assert!(!names("https://git.example.com:8443/*", "https://git.example.com/a"));
    assert!(Url::read(&format!("https://h/{}", "a".repeat(4_096))).is_err());
}

#[test]
fn a_pattern_that_would_name_too_much_or_nothing_is_refused() {
    for (pattern, fix) in [
        ("https://git.example.com", "it has no path"),
        ("https://git.example.com*", "a `*` in the host"),
        ("https://git.*.com/*", "a `*` in the host"),
        ("https://*git.example.com/*", "a `*` in the host"),
        ("https://*", "it has no path"),
        ("git.example.com/*", "it has no scheme"),
        ("git@git.example.com:team/*", "it has no scheme"),
        ("https://user@git.example.com/*", "who logs in"),
        ("https://git.example.com/../*", "its path leads through"),
        ("https://git.example.com:x/*", "its port"),
        ("https://\u{4e2d}\u{6587}.example/*", "its host"),
        ("*://git.example.com/*", "its scheme"),
        ("https:///*", "its host"),
        ("", "it has no scheme"),
    ] {
        let error = UrlPattern::parse(pattern).unwrap_err();
        assert!(error.starts_with(fix), "{pattern}: {error}");
    }
}
