//! YAML that others have written: kubeconfigs, positions, lists of targets.
//!
//! Types reach the reader through a table of functions, so that it is compiled once: compiled for each of seven types it
//! was 3 % of the program, and it runs at a start or when a file has changed.

use erased_serde::Deserializer;
use serde::de::{DeserializeOwned, Error as _};
use serde_saphyr::{Error, Options};

/// Reads a document. The error is for people: what is wrong, where, and the lines around.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    read(text, Options::default())
}

/// Reads a document of at most so many values, markers and comments. The error says where, without the lines around.
pub fn from_str_within<T: DeserializeOwned>(text: &str, most: usize) -> Result<T, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: most, max_nodes: most },
        with_snippet: false,
    };
    read(text, options)
}

fn read<T: DeserializeOwned>(text: &str, options: Options) -> Result<T, String> {
    let mut value = None;
    let mut take = |document: &mut dyn Deserializer| {
        value = Some(erased_serde::deserialize(document)?);
        Ok(())
    };
    walk(text, options, &mut take).map_err(|error| error.to_string())?;
    value.ok_or_else(|| "it holds no document".to_owned())
}

type Take<'a> = &'a mut dyn FnMut(&mut dyn Deserializer) -> Result<(), erased_serde::Error>;

fn walk(text: &str, options: Options, take: Take) -> Result<(), Error> {
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        take(&mut <dyn Deserializer>::erase(document)).map_err(Error::custom)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Machine {
        name: String,
        ports: Vec<u16>,
        note: Option<String>,
        labels: BTreeMap<String, String>,
        kind: Kind,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Bare,
        Virtual {
            host: String,
        },
    }

    #[test]
    fn documents_are_read_into_any_type() {
        let text = "name: a\nports: [1, 0x2]\nnote: ~\nlabels: {x: 'y', n: \"1\"}\nkind: {virtual: {host: b}}\n";
        let machine: Machine = super::from_str(text).expect("good");
        let labels = [("x", "y"), ("n", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let kind = Kind::Virtual { host: "b".to_owned() };
        assert_eq!(machine, Machine { name: "a".to_owned(), ports: vec![1, 2], note: None, labels, kind });
        assert_eq!(super::from_str::<Option<Machine>>("# nothing\n"), Ok(None));
        assert_eq!(super::from_str("&a [1, 1]"), Ok(vec![1, 1]));
    }

    #[test]
    fn errors_say_where() {
        for (text, expect) in [
            ("name: a\nprots: []\n", "unknown field `prots`"),
            ("name: a\nports: [70000]\n", "line 2"),
            ("name: a\nports: {\n", "line 2"),
            ("name: [a]\n", "line 1"),
            ("name: a\n---\nname: b\n", "multiple"),
        ] {
            let error = super::from_str::<Machine>(text).expect_err(text);
            assert!(error.contains(expect), "{text:?}: {error}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let text = format!("[{}]", "1,".repeat(1_000));
        assert!(super::from_str_within::<Vec<u32>>(&text, 2_100).is_ok());
        let error = super::from_str_within::<Vec<u32>>(&text, 500).expect_err("too much");
        assert!(!error.contains('\n'), "{error}");
    }
}
