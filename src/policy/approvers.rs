//! The persons whom rules name to approve what they hold up.

use std::collections::HashMap;

use super::Policy;

/// The most persons whom one rule names.
pub const APPROVERS_MAX: usize = 64;

/// The most names that a sentence repeats.
const NAMES_TOLD_MAX: usize = 8;

/// The rules of a policy that name their approvers, by the names of their violations.
#[derive(Debug)]
pub struct ApproversByRule<'p>(HashMap<String, Vec<&'p [String]>>);

/// The approvers of one approval: whoever approves is in each of these lists.
#[derive(Debug)]
pub struct Approvers<'a> {
    /// The rules that name somebody, each with its list.
    lists: Vec<(&'a str, &'a [String])>,
    /// The person who asks, who never approves.
    requester: Option<&'a str>,
}

impl Policy {
    /// The rules that name their approvers.
    #[must_use]
    pub fn approvers(&self) -> ApproversByRule<'_> {
        let mut by_rule: HashMap<String, Vec<&[String]>> = HashMap::new();
        for rule in self.rules.iter().filter(|rule| !rule.approvers.is_empty()) {
            for name in rule.violation_names() {
                by_rule.entry(name).or_default().push(&rule.approvers);
            }
        }
        ApproversByRule(by_rule)
    }
}

impl<'p> ApproversByRule<'p> {
    /// The approvers of what these rules hold up of a requester; `None` where none of them names
    /// any.
    #[must_use]
    pub fn of<'a>(&self, rules: &'a [String], requester: Option<&'a str>) -> Option<Approvers<'a>>
    where
        'p: 'a,
    {
        let lists_of = |rule: &'a String| {
            let lists = self.0.get(rule).into_iter().flatten();
            lists.map(move |list| (rule.as_str(), *list))
        };
        let lists: Vec<_> = rules.iter().flat_map(lists_of).collect();
        (!lists.is_empty()).then_some(Approvers { lists, requester })
    }
}

impl<'a> Approvers<'a> {
    /// The persons whom every list names, but for the requester, in the order of the first.
    #[must_use]
    pub fn persons(&self) -> Vec<&'a str> {
        let Some(((_, first), others)) = self.lists.split_first() else { return Vec::new() };
        let is_everywhere = |person: &&String| others.iter().all(|(_, list)| list.contains(person));
        let all = first.iter().filter(is_everywhere).map(String::as_str);
        all.filter(|person| self.requester != Some(person)).collect()
    }

    /// Why a person may not approve, and who may; `None` where they are named by every rule.
    #[must_use]
    pub fn refusal(&self, person: &str) -> Option<String> {
        let is_named = |list: &[String]| list.iter().any(|name| name == person);
        let (rule, _) = self.lists.iter().find(|(_, list)| !is_named(list))?;
        let persons = self.persons();
        let fix = if persons.is_empty() {
            "and all the rules that ask name nobody else: have `approvers` in the policy fixed"
                .to_owned()
        } else {
            format!("have it approved by one of those who may: {}", told(&persons))
        };
        Some(format!(
            "the rule `{rule}` names who approves, and {person:?} is not among them; {fix}"
        ))
    }
}

/// Names in a row, with how many more there are.
fn told(names: &[&str]) -> String {
    let (head, rest) = names.split_at(names.len().min(NAMES_TOLD_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", head.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;
    use crate::policy::load::load;
    use crate::provider::Provider;

    fn policy(text: &str) -> Policy {
        load(text, Provider::ALL[0]).unwrap()
    }

    fn persons(policy: &Policy, rules: &[&str]) -> Option<Vec<String>> {
        let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
        let approvers = policy.approvers();
        let approvers = approvers.of(&rules, Some("sun.fei"))?;
        Some(approvers.persons().into_iter().map(str::to_owned).collect())
    }

    const POLICY: &str = "[metadata]\nforbidden_keys = ['a']\nenforcement = 'approve'\n\
        approvers = ['wang.li', 'chen.jie']\n\
        [timezones]\nallowed = ['UTC']\nenforcement = 'approve'\n\
        approvers = ['chen.jie', 'zhao.min']\n\
        [name]\npattern = 'a'\nenforcement = 'approve'\n\
        [[schedule.freeze]]\nstarts = '0 0 * * *'\nlasts = '1h'\ntimezone = 'UTC'\n\
        enforcement = 'approve'\napprovers = ['sun.fei', 'lin.hua']\n\
        [[schedule.freeze]]\nstarts = '0 9 * * *'\nlasts = '1h'\ntimezone = 'UTC'\n\
        enforcement = 'approve'\napprovers = ['sun.fei', 'lin.hua']\n";

    #[test]
    fn who_approves_is_named_by_every_rule_that_names_somebody() {
        let policy = policy(POLICY);
        for (rules, expected) in [
            (&["name", "gone"][..], None),
            (&["metadata.forbidden_keys"], Some(&["wang.li", "chen.jie"][..])),
            (&["metadata.forbidden_keys", "name", "timezones"], Some(&["chen.jie"])),
            (&["schedule.freeze"], Some(&["lin.hua"])),
            (&["schedule.freeze", "timezones"], Some(&[])),
        ] {
            let found = persons(&policy, rules);
            let found =
                found.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{rules:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_rule_and_some_of_those_who_may() {
        let policy = policy(POLICY);
        let approvers = policy.approvers();
        let rules = ["metadata.forbidden_keys", "timezones"].map(str::to_owned);
        let both = approvers.of(&rules, None).unwrap();
        assert_eq!(both.refusal("chen.jie"), None);
        let refusal = both.refusal("wang.li").unwrap();
        assert!(refusal.contains("`timezones`") && refusal.ends_with("may: chen.jie"), "{refusal}");
        let rules = ["schedule.freeze", "timezones"].map(str::to_owned);
        let refusal = approvers.of(&rules, None).unwrap().refusal("sun.fei").unwrap();
        assert!(refusal.contains("name nobody else"), "{refusal}");

        let names = (0..11).map(|n| format!("'p{n}'")).collect::<Vec<_>>().join(",");
        let policy = self::policy(&format!(
            "[name]\npattern = 'a'\nenforcement = 'approve'\napprovers = [{names}]\n"
        ));
        let rules = ["name".to_owned()];
        let refusal = policy.approvers().of(&rules, None).unwrap().refusal("x").unwrap();
        assert!(refusal.ends_with("p0, p1, p2, p3, p4, p5, p6, p7 and 3 more"), "{refusal}");
    }
}
