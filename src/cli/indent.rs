//! JSON over several lines, as it came otherwise: digits, names and their order are those of the sender.

/// The first lines of good JSON, and how many more there are.
pub(super) fn indented(json: &str, lines_max: usize) -> (Vec<String>, usize) {
    let mut page = Page {
        lines: vec![String::new()],
        more: 0,
        lines_max,
    };
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if in_text {
            page.put(character);
            in_text = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            '{' | '[' => {
                page.put(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    page.put(end);
                } else {
                    depth += 1;
                    page.begin(depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                page.begin(depth);
                page.put(character);
            }
            ',' => {
                page.put(character);
                page.begin(depth);
            }
            ':' => {
                page.put(character);
                page.put(' ');
            }
            space if space.is_ascii_whitespace() => {}
            other => {
                in_text = other == '"';
                page.put(other);
            }
        }
    }
    (page.lines, page.more)
}

/// Lines, up to so many; the others are counted.
struct Page {
    lines: Vec<String>,
    more: usize,
    lines_max: usize,
}

impl Page {
    fn begin(&mut self, depth: usize) {
        if self.more > 0 || self.lines.len() >= self.lines_max {
            self.more += 1;
        } else {
            self.lines.push("  ".repeat(depth));
        }
    }

    fn put(&mut self, character: char) {
        if let Some(line) = self.lines.last_mut().filter(|_| self.more == 0) {
            line.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_usual_and_what_is_in_them_is_as_it_came() {
        for json in [
            r#"{"z":[1,{"a":"x: {[,\\\"]}"}],"a":[],"b":{ },"c":null}"#,
            "[[],[[1]], \"\\\\\", true]",
            "7",
        ] {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let (lines, more) = indented(json, 100);
            let again: serde_json::Value = serde_json::from_str(&lines.join("\n")).unwrap();
            assert_eq!((again, more), (value, 0), "{json}");
        }
        let (lines, _) = indented(r#"{"n":1.0e2,"n":18446744073709551617}"#, 100);
        assert_eq!(
            lines.join("\n"),
            "{\n  \"n\": 1.0e2,\n  \"n\": 18446744073709551617\n}"
        );
    }

    #[test]
    fn so_many_lines_are_shown_and_the_others_counted_however_deep() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let (lines, more) = indented(&deep, 60);
        assert_eq!((lines.len(), more), (60, 2 * 99_999 + 1 - 60));
        assert_eq!(lines[59], format!("{}[", "  ".repeat(59)));
    }
}
