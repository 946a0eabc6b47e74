//! Names with wildcards: `*`, `?`, `[abc]` and `[a-z]`, as Velero takes them for namespaces.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::FilterError;

/// A list of names and patterns.
#[derive(Debug, Clone)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// What Velero refuses is refused: `**` and the characters `|()!{},`.
    pub fn parse(patterns: &[String]) -> Result<Self, FilterError> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let failed = |detail: &str| FilterError::Pattern { pattern: pattern.clone(), detail: detail.to_owned() };
            if pattern.is_empty() {
                return Err(failed("it is empty"));
            }
            if pattern.contains("**") {
                return Err(failed("`**` is not taken; one `*` matches everything in a name"));
            }
            if let Some(letter) = pattern.chars().find(|letter| "|()!{},\\/".contains(*letter)) {
                return Err(failed(&format!("`{letter}` is not taken")));
            }
            let glob = GlobBuilder::new(pattern).build().map_err(|error| failed(&error.kind().to_string()))?;
            set.add(glob);
        }
        let set = set
            .build()
            .map_err(|error| FilterError::Pattern { pattern: patterns.join(" "), detail: error.kind().to_string() })?;
        Ok(Self { patterns: patterns.to_vec(), set })
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// Names without wildcards.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| &pattern[..]).filter(|pattern| !is_pattern(pattern))
    }

    /// Patterns with wildcards.
    pub fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| &pattern[..]).filter(|pattern| is_pattern(pattern))
    }

    /// All patterns, as they came.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Result<Globs, FilterError> {
        Globs::parse(&patterns.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn wildcards_match_as_in_velero() {
        let rows = [
            ("shop", "shop", true),
            ("shop", "shop-a", false),
            ("shop-*", "shop-a", true),
            ("shop-*", "shop", false),
            ("*", "anything", true),
            ("shop-?", "shop-ab", false),
            ("shop-[abc]", "shop-b", true),
            ("shop-[a-c]", "shop-d", false),
            ("*-prod", "shop-prod", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(globs(&[pattern]).unwrap().matches(name), expected, "{pattern} on {name}");
        }
        assert!(globs(&["a", "b*"]).unwrap().matches("bc"));
        assert!(!globs(&[]).unwrap().matches("a"));
    }

    #[test]
    fn what_velero_refuses_is_refused() {
        for pattern in ["", "a**", "a|b", "(a)", "!a", "{a}", "a,b", "a[", "a[]", "[!a]"] {
            let error = globs(&[pattern]).unwrap_err().to_string();
            assert!(error.contains(&format!("{pattern:?}")), "{error}");
        }
    }

    #[test]
    fn names_and_patterns_are_told_apart() {
        let globs = globs(&["shop", "web-*", "a?"]).unwrap();
        assert_eq!(globs.literals().collect::<Vec<_>>(), ["shop"]);
        assert_eq!(globs.wildcards().collect::<Vec<_>>(), ["web-*", "a?"]);
    }
}
