//! A visit to the live page: what one does there first, and what is looked at.

use std::path::Path;

use serde_json::Value;

use super::browser::{Browser, Message};
use super::serving::Serving;

/// Looks at every view as a person does who watches the picture: how many tones it has, and whether it is the same.
const VIEWS: &str = "[...document.querySelectorAll('.view')].map(view => {
    const pen = new OffscreenCanvas(64, 36).getContext('2d', {willReadFrequently: true});
    const canvas = view.querySelector('canvas');
    if (canvas?.width && canvas?.height) pen.drawImage(canvas, 0, 0, 64, 36);
    const pixels = pen.getImageData(0, 0, 64, 36).data;
    let print = 0;
    for (const value of pixels) print = (print * 31 + value) % 1000003;
    return {
        camera: view.dataset.camera,
        state: view.dataset.state,
        set: view.dataset.set ? Number(view.dataset.set) : null,
        whole: !view.innerText.includes('no frame'),
        width: view.getBoundingClientRect().width,
        tones: new Set(pixels).size,
        print,
    };
})";

/// A view as it is on the page.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct View {
    pub camera: String,
    pub state: String,
    /// The set whose picture is shown.
    pub set: Option<u64>,
    /// Whether its camera has a frame in that set; else an older picture stays.
    pub whole: bool,
    /// In pixels of the page.
    pub width: f64,
    /// Different values of the picture's samples.
    tones: usize,
    /// Other pictures have other ones.
    pub print: u32,
}

impl View {
    pub fn has_picture(&self) -> bool {
        self.tones > 32
    }
}

/// All views of the page.
pub fn views(page: &Browser) -> Vec<View> {
    serde_json::from_value(page.eval(VIEWS)).expect("views are views")
}

/// The sets that the page shows, a view after the other.
pub fn sets(page: &Browser) -> Vec<Option<u64>> {
    views(page).iter().map(|view| view.set).collect()
}

/// The sets, and the prints of their pictures.
pub fn shown(page: &Browser) -> Vec<(Option<u64>, Option<u32>)> {
    views(page).iter().map(|view| (view.set, view.whole.then_some(view.print))).collect()
}

/// Opens the page for the first time, and reads the notice.
pub fn enter(page: &Browser, url: &str) {
    page.goto(url);
    page.wait_for("the notice is shown", "document.querySelector('dialog#notice').open");
    page.click("#notice-accept");
    wait_for_pictures(page);
}

pub fn wait_for_pictures(page: &Browser) {
    page.wait_for("the connection is open", "document.body.dataset.connection === 'open'");
    page.until("every view has a picture", || {
        let views = views(page);
        !views.is_empty() && views.iter().all(View::has_picture)
    });
}

/// A visit from the notice to the end, at which the console must be clean.
pub fn visit(test: impl FnOnce(&Browser, &Serving)) {
    visit_what(Serving::start, test);
}

/// The same of another program.
pub fn visit_what(start: impl FnOnce() -> Serving, test: impl FnOnce(&Browser, &Serving)) {
    let Some(page) = Browser::open() else { return };
    let serving = start();
    enter(&page, &serving.url());
    test(&page, &serving);
    assert_no_complaint(&page, |_| false);
}

/// Nothing is complained of in the console, but what is expected.
pub fn assert_no_complaint(page: &Browser, is_expected: impl Fn(&Message) -> bool) {
    let complaints: Vec<_> =
        page.console().into_iter().filter(|said| said.is_complaint() && !is_expected(said)).collect();
    assert!(complaints.is_empty(), "the console complains: {complaints:#?}");
}

/// Whether a flag of the page is set: `body[data-NAME]`.
pub fn flag(name: &str) -> String {
    format!("((document.body.dataset.{name} ?? 'false') !== 'false')")
}

/// The text of a page as one reads it.
pub fn text(page: &Browser) -> String {
    page.eval("document.body.innerText").as_str().map(str::to_owned).unwrap_or_default()
}

/// A value of the page's body: `body[data-NAME]`.
pub fn body(page: &Browser, name: &str) -> Value {
    page.eval(&format!("document.body.dataset.{name} ?? null"))
}

/// Into the target folder, and where it is wanted into the documents.
pub fn keep(name: &str, png: &[u8]) {
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), png).expect("written");
    if std::env::var_os("VULTUS_UPDATE_PICTURES").is_some_and(|value| value == "1") {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join(name), png).expect("written");
    }
}
