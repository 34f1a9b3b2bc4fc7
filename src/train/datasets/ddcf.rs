//! DDCF, the Dartmouth Database of Children's Faces (K. A. Dalrymple, J. Gomez, B. Duchaine, 2013): 80 children, five
//! angles, two lightings.
//!
//! By default it is read as `{40Males,40Females}/EXPRESSION/CHILD/a12_….jpg`: the child is the digits between the first
//! letter and the first `_`, and whatever else the name says is not known to us; so the angle is not either. A mapping
//! file says how else the files are named (`ddcf:DIR#FILE.toml`, the file relative to DIR):
//!
//! ```toml
//! # A regular expression for the path below DIR, with `/` between folders. It must name `subject` and `expression`;
//! # `sex`, `view` (the angle) and `scene` (the lighting, the take: what tells instants of one child and expression
//! # apart) are used where it names them.
//! pattern = '^(?<sex>\w+)/(?<expression>\w+)/[^/]+/[a-z](?<subject>\d+)_(?<view>[A-E])_(?<scene>\d)\.jpg$'
//!
//! [expression] # what a name stands for, where it is none that is known anyway
//! content = "neutral"
//!
//! [view] # how an angle is to be called
//! A = "FL"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::{Captures, Regex};
use serde::Deserialize;

use super::labels::expression_named;
use super::{Content, DatasetError, Listing, Picture, Place};
use crate::capture::folder::is_picture;
use crate::train::faces::{About, Sex};

const PATTERN: &str =
    r"^(?:.*/)?(?<sex>(?:40)?(?:Males|Females))/(?<expression>[^/]+)/[^/]+/[A-Za-z](?<subject>[0-9]+)_[^/]*$";

/// What a mapping file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    #[serde(default = "default_pattern")]
    pattern: String,
    #[serde(default)]
    expression: BTreeMap<String, String>,
    #[serde(default)]
    view: BTreeMap<String, String>,
}

fn default_pattern() -> String {
    PATTERN.to_owned()
}

impl Mapping {
    fn read(file: &Path) -> Result<Self, DatasetError> {
        let invalid = |reason: String| DatasetError::Invalid { path: file.to_owned(), reason };
        let text =
            std::fs::read_to_string(file).map_err(|source| DatasetError::Read { path: file.to_owned(), source })?;
        let mapping: Self = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let is_class = |name: &&String| expression_named(name).is_some();
        match mapping.expression.values().find(|name| !is_class(name)) {
            Some(name) => Err(invalid(format!("`{name}` is none of the seven classes"))),
            None => Ok(mapping),
        }
    }

    fn compile(&self, file: &Path) -> Result<Regex, DatasetError> {
        let invalid = |reason: String| DatasetError::Invalid { path: file.to_owned(), reason };
        let pattern = Regex::new(&self.pattern).map_err(|error| invalid(error.to_string()))?;
        let has = |wanted: &str| pattern.capture_names().flatten().any(|name| name == wanted);
        match ["subject", "expression"].into_iter().find(|wanted| !has(wanted)) {
            Some(missing) => Err(invalid(format!("`pattern` does not say where the {missing} is: (?<{missing}>…)"))),
            None => Ok(pattern),
        }
    }

    /// What the path says; the expression by its own name if it is none of the seven.
    fn about(&self, path: &Captures<'_>) -> Result<About, String> {
        let part = |name: &str| path.name(name).map(|part| part.as_str());
        let expression = part("expression").unwrap_or_default();
        let mapped = self.expression.get(expression).map_or(expression, String::as_str);
        let class = expression_named(mapped).ok_or_else(|| expression.to_owned())?;
        let sex = part("sex").and_then(|sex| Sex::of(sex.trim_start_matches(|c: char| c.is_ascii_digit())));
        let letter = sex.map(|sex| sex.letter().to_string()).unwrap_or_default();
        let subject = format!("{letter}{}", part("subject").unwrap_or_default());
        let view = part("view").map(|view| self.view.get(view).map_or(view, String::as_str).to_owned());
        // Without the angles nobody can say which pictures were taken at once.
        let scene = view.as_ref().map(|_| format!("{subject} {expression} {}", part("scene").unwrap_or_default()));
        Ok(About { subject: Some(subject), sex, scene, view, expression: Some(class) })
    }
}

/// Whether the file lies where DDCF's do.
pub(super) fn is_laid_out_so(file: &Path) -> bool {
    Regex::new(PATTERN).is_ok_and(|pattern| pattern.is_match(&slashed(file)))
}

/// The path with `/` between folders, on every system.
fn slashed(file: &Path) -> String {
    let parts = file.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("/")
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let file = listing.spec.choice.as_ref().map(|choice| listing.spec.path.join(choice));
    let default = || Mapping { pattern: default_pattern(), expression: BTreeMap::new(), view: BTreeMap::new() };
    let mapping = file.as_deref().map_or_else(|| Ok(default()), Mapping::read)?;
    let pattern = mapping.compile(file.as_deref().unwrap_or(Path::new("mapping")))?;
    let files: Vec<PathBuf> = listing.files()?.into_iter().filter(|file| is_picture(file)).collect();
    if !files.iter().any(|file| pattern.is_match(&slashed(file))) && listing.spec.choice.is_none() {
        // Not one: this is another data set, or another layout.
        return match files.first().filter(|_| super::recognised(&listing.spec.path).is_none()) {
            Some(first) => Err(not_understood(listing, first, &mapping)),
            None => Ok(()),
        };
    }
    let mut pictures = Vec::new();
    for file in files {
        let path = slashed(&file);
        let Some(parts) = pattern.captures(&path) else { return Err(not_understood(listing, &file, &mapping)) };
        match mapping.about(&parts) {
            Ok(about) => pictures.push(Picture { place: Place::File(file), about, is_whole: false }),
            Err(name) => listing.skip(file, format!("the expression `{name}` is none of the seven classes")),
        }
    }
    listing.content = Content::Pictures(pictures);
    Ok(())
}

fn not_understood(listing: &Listing, file: &Path, mapping: &Mapping) -> DatasetError {
    let reason = format!("its path below {} does not match {}", listing.spec.path.display(), mapping.pattern);
    DatasetError::NotUnderstood { file: file.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder_of, message, pictures};
    use crate::scene::Expression;

    const FILES: [&str; 3] = [
        "40Females/Happy/child1/g01_x_1.jpg",
        "40Males/Afraid/child1/b01_x_1.jpg",
        "40Males/Pleased/child1/b01_y_1.jpg",
    ];

    #[test]
    fn the_default_layout_gives_child_sex_and_expression() {
        let root = folder_of(&FILES);
        let (pictures, skipped) = pictures(&format!("ddcf:{}", root.path().display()));
        let people: Vec<_> = pictures.iter().map(|picture| picture.about.subject.as_deref()).collect();
        assert_eq!(people, [Some("F01"), Some("M01")], "a girl and a boy of one number are two children");
        assert_eq!(pictures[1].about.expression, Some(Expression::Afraid));
        assert_eq!(pictures[0].about.view, None, "the angle is not known without a mapping");
        assert!(skipped[0].reason.contains("Pleased"));
    }

    #[test]
    fn the_first_file_that_is_not_understood_is_named() {
        let root = folder_of(&[FILES[0], "40Females/Happy/child2/portrait.jpg"]);
        let message = message(&format!("ddcf:{}", root.path().display()));
        assert!(message.contains("40Females/Happy/child2/portrait.jpg") && message.contains("mapping"), "{message}");
    }

    #[test]
    fn a_mapping_file_tells_the_angle_and_the_instant() {
        // A boy and a girl of one number are two people.
        let root = folder_of(&["boys/c07-content-left-2.jpg", "girls/c07-content-left-2.jpg"]);
        let text = r"
            pattern = '^(?<sex>\w)\w+/c(?<subject>\d+)-(?<expression>\w+)-(?<view>\w+)-(?<scene>\d)\.jpg$'
            [expression]
            content = 'happy'
            [view]
            left = 'HL'
        ";
        std::fs::write(root.path().join("names.toml"), text).expect("written");
        let (pictures, _) = pictures(&format!("ddcf:{}#names.toml", root.path().display()));
        let about = &pictures[0].about;
        assert_eq!((about.view.as_deref(), about.scene.as_deref()), (Some("HL"), Some("M07 content 2")));
        assert_eq!(about.expression, Some(Expression::Happy));
        assert_eq!(pictures[1].about.subject.as_deref(), Some("F07"));

        let bad = "pattern = 'x'";
        std::fs::write(root.path().join("names.toml"), bad).expect("written");
        let message = message(&format!("ddcf:{}#names.toml", root.path().display()));
        assert!(message.contains("names.toml") && message.contains("subject"), "{message}");
    }
}
