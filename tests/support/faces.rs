//! A small data set in KDEF's layout, made of the bundled take: four "people" (stretches of it), seven labels, four views. What
//! the labels say is not true of the pictures; it is enough to learn them by heart.

use std::fs;
use std::path::{Path, PathBuf};

use super::take;

const EXPRESSIONS: [&str; 7] = ["AF", "AN", "DI", "HA", "NE", "SA", "SU"];
const ANGLES: [&str; 4] = ["FL", "HL", "HR", "FR"];
const PEOPLE: [&str; 4] = ["F01", "M01", "F02", "M02"];

/// Pictures of each camera of the bundled take, in order.
fn frames(camera: usize) -> Vec<PathBuf> {
    let folder = take().join(format!("cam{camera}"));
    let entries = fs::read_dir(folder).expect("the take is there").map(|entry| entry.expect("an entry").path());
    let mut pictures: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "jpg")).collect();
    pictures.sort();
    pictures
}

/// Writes the data set into `folder`.
pub fn kdef(folder: &Path) {
    for (view, angle) in ANGLES.iter().enumerate() {
        let frames = frames(view);
        for (person, name) in PEOPLE.iter().enumerate() {
            let of_person = folder.join(format!("A{name}"));
            fs::create_dir_all(&of_person).expect("a folder");
            for (n, expression) in EXPRESSIONS.iter().enumerate() {
                let frame = &frames[(person * EXPRESSIONS.len() + n) * 2];
                fs::copy(frame, of_person.join(format!("A{name}{expression}{angle}.JPG"))).expect("copied");
            }
        }
    }
}
