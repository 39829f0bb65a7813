//! The names of a table.

/// The names that follow from the name of a table.
#[derive(Debug, PartialEq)]
pub struct Names {
    /// `setup_steps`.
    pub table: String,
    /// `setup`.
    pub schema: String,
    /// A row: `SetupStep`.
    pub row: String,
    /// The repository: `SetupSteps`.
    pub rows: String,
}

impl Names {
    /// Returns the names of a table. Fails if one is not a word of lower-case letters, digits and
    /// underscores.
    pub fn new(table: &str, schema: &str, row: Option<&str>) -> Result<Self, String> {
        for name in [table, schema] {
            let is_lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_lower) {
                return Err(format!("{name:?} is not a name such as setup_steps"));
            }
        }
        let row = match row {
            Some(row) => row.to_owned(),
            None => camel_case(&singular(table)?),
        };
        Ok(Self {
            table: table.to_owned(),
            schema: schema.to_owned(),
            row,
            rows: camel_case(table),
        })
    }

    /// Returns a template with the names in the places of `__TABLE__`, `__SCHEMA__`, `__ROW__`,
    /// `__ROWS__`, and of `__ONE__` and `__MANY__`, which are words of a sentence.
    pub fn fill(&self, template: &str) -> String {
        let many = self.table.replace('_', " ");
        let mut one = String::new();
        for letter in self.row.chars() {
            if letter.is_ascii_uppercase() && !one.is_empty() {
                one.push(' ');
            }
            one.push(letter.to_ascii_lowercase());
        }
        let article = if one.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        let capital = if article == "an" { "An" } else { "A" };
        template
            .replace("A __ONE__", &format!("{capital} {one}"))
            .replace("a __ONE__", &format!("{article} {one}"))
            .replace("__ONE__", &one)
            .replace("__MANY__", &many)
            .replace("__TABLE__", &self.table)
            .replace("__SCHEMA__", &self.schema)
            .replace("__ROWS__", &self.rows)
            .replace("__ROW__", &self.row)
    }
}

fn camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('_')
        .filter(|part| !part.is_empty())
        .map(word)
        .collect()
}

fn singular(plural: &str) -> Result<String, String> {
    let rules = [
        ("ies", "y"),
        ("sses", "ss"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("s", ""),
    ];
    let of_rule =
        |(end, instead): (&str, &str)| Some(plural.strip_suffix(end)?.to_owned() + instead);
    let found = rules.into_iter().find_map(of_rule);
    found.ok_or_else(|| format!("{plural:?} is not a plural: name the row as well"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_name_of_the_table() {
        let names = Names::new("setup_steps", "setup", None).unwrap();
        assert_eq!((&*names.row, &*names.rows), ("SetupStep", "SetupSteps"));
        assert_eq!(Names::new("policies", "setup", None).unwrap().row, "Policy");
        assert_eq!(Names::new("boxes", "setup", None).unwrap().row, "Box");
        let named = Names::new("analyses", "analysis", Some("Analysis")).unwrap();
        assert_eq!((&*named.row, &*named.rows), ("Analysis", "Analyses"));
        assert!(Names::new("Webhooks", "setup", None).is_err());
        assert!(Names::new("equipment", "setup", None).is_err());
    }

    #[test]
    fn a_template_is_filled_with_words_and_names() {
        let names = Names::new("api_keys", "setup", None).unwrap();
        let filled = names
            .fill("/// A __ONE__, of __MANY__.\nstruct New__ROW__; __ROWS__ __SCHEMA__.__TABLE__");
        assert_eq!(
            filled,
            "/// An api key, of api keys.\nstruct NewApiKey; ApiKeys setup.api_keys"
        );
    }
}
