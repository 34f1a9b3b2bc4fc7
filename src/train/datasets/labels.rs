//! How the data sets call the seven classes.

use crate::scene::Expression;

/// Names of each class: our own, FER2013's and RAF-DB's, DDCF's, KDEF's codes, and other forms of the same words.
const NAMES: [(Expression, &[&str]); Expression::COUNT] = [
    (Expression::Angry, &["angry", "anger", "an"]),
    (Expression::Disgusted, &["disgusted", "disgust", "di"]),
    (Expression::Afraid, &["afraid", "fear", "fearful", "af"]),
    (Expression::Happy, &["happy", "happiness", "ha"]),
    (Expression::Sad, &["sad", "sadness", "sa"]),
    (Expression::Surprised, &["surprised", "surprise", "su"]),
    (Expression::Neutral, &["neutral", "ne"]),
];

/// The class that a data set calls `name`, in any case of letters; none if it is none of the seven (contempt).
#[must_use]
pub fn expression_named(name: &str) -> Option<Expression> {
    let is_called = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name.trim()));
    NAMES.iter().find(|(_, names)| is_called(names)).map(|(class, _)| *class)
}

/// The class with this number in FER2013's CSV file: angry, disgust, fear, happy, sad, surprise, neutral, which is the
/// order of [`Expression::ALL`].
pub(super) fn expression_numbered(number: &str) -> Option<Expression> {
    Expression::ALL.get(number.trim().parse::<usize>().ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_known_by_its_own_name_and_by_no_other() {
        for class in Expression::ALL {
            assert_eq!(expression_named(class.name()), Some(class));
        }
        let all = NAMES.iter().flat_map(|(_, names)| names.iter());
        let mut names: Vec<_> = all.collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands for two classes");
        assert_eq!(expression_named("contempt"), None);
    }

    #[test]
    fn fer2013_numbers_are_in_its_own_order() {
        let fer2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
        for (number, name) in fer2013.into_iter().enumerate() {
            assert_eq!(expression_numbered(&number.to_string()), expression_named(name));
        }
        assert_eq!(expression_numbered("7"), None);
    }
}
