//! How urgent a job is, by its labels.

/// Labels, in lower case, and what one or more of them add, once.
const RULES: [(&[&str], i32); 4] = [
    (&["production", "deploy"], 100),
    (&["critical", "urgent"], 50),
    (&["ubuntu-latest", "small"], 10),
    (&["large", "xl"], -10),
];

/// The priority of a job with these labels, without regard to case.
pub(super) fn priority(labels: &[String]) -> i32 {
    let applies = |words: &[&str]| {
        labels
            .iter()
            .any(|label| words.iter().any(|w| label.eq_ignore_ascii_case(w)))
    };
    RULES
        .iter()
        .filter(|(words, _)| applies(words))
        .map(|(_, points)| points)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_counts_once() {
        for (labels, expected) in [
            (&[][..], 0),
            (&["self-hosted"], 0),
            (&["production", "deploy"], 100),
            (&["Urgent", "critical"], 50),
            (&["ubuntu-latest"], 10),
            (&["ubuntu-latest", "small", "xl"], 0),
            (&["xl", "large"], -10),
            (&["deploy", "urgent", "small", "large"], 150),
        ] {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            assert_eq!(priority(&labels), expected, "{labels:?}");
        }
    }
}
