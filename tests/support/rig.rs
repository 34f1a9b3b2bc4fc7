//! The bundled take's cameras, in the layout of `--rig`.

use std::fmt::Write;

use serde_json::Value;

/// What `rig.toml` says of the take, whose `rig.json` has poses as matrices.
pub fn of_the_take() -> String {
    let text = std::fs::read_to_string(super::take().join("rig.json")).expect("the take has its rig");
    let rig: Value = serde_json::from_str(&text).expect("JSON");
    let mut toml = String::new();
    for (n, camera) in rig["cameras"].as_array().expect("cameras").iter().enumerate() {
        let pose: [[f64; 4]; 4] = serde_json::from_value(camera["camera_from_world"].clone()).expect("a matrix");
        let translation = [0, 1, 2].map(|row| pose[row][3]);
        let (name, width, height) = (&camera["name"], &camera["width"], &camera["height"]);
        let (matrix, distortions, rotation) = (&camera["K"], &camera["dist"], rotation_vector(&pose));
        write!(
            toml,
            "[cam_{n}]\nname = {name}\nsize = [{width}, {height}]\nmatrix = {matrix}\ndistortions = {distortions}\n\
             rotation = {rotation:?}\ntranslation = {translation:?}\n\n"
        )
        .expect("written");
    }
    toml
}

/// Axis times angle of a rotation by less than half a turn.
fn rotation_vector(r: &[[f64; 4]; 4]) -> [f64; 3] {
    let across = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]];
    let sine = across.iter().map(|x| x * x).sum::<f64>().sqrt() / 2.0;
    let angle = sine.atan2((r[0][0] + r[1][1] + r[2][2] - 1.0) / 2.0);
    across.map(|x| x / (2.0 * sine) * angle)
}
