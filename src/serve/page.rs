//! The page's files, built in. They are served by name from this table; no folder is.

/// A file of the page.
pub(super) struct Asset {
    /// Its path in addresses.
    path: &'static str,
    pub content_type: &'static str,
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($path:literal $content_type:ident $file:literal,)*) => {
        [$(Asset { path: $path, content_type: $content_type, text: include_str!(concat!("page/", $file)) }),*]
    };
}

static ASSETS: &[Asset] = &assets! {
    "/" HTML "index.html",
    "/access.js" SCRIPT "access.js",
    "/banner.js" SCRIPT "banner.js",
    "/card.js" SCRIPT "card.js",
    "/classes.js" SCRIPT "classes.js",
    "/connection.js" SCRIPT "connection.js",
    "/dialogs.js" SCRIPT "dialogs.js",
    "/dom.js" SCRIPT "dom.js",
    "/figures.js" SCRIPT "figures.js",
    "/format.js" SCRIPT "format.js",
    "/health.js" SCRIPT "health.js",
    "/icon.svg" ICON "icon.svg",
    "/keys.js" SCRIPT "keys.js",
    "/lanes.js" SCRIPT "lanes.js",
    "/main.js" SCRIPT "main.js",
    "/message.js" SCRIPT "message.js",
    "/mosaic.js" SCRIPT "mosaic.js",
    "/page.css" STYLE "page.css",
    "/panels.css" STYLE "panels.css",
    "/people.js" SCRIPT "people.js",
    "/perspective.js" SCRIPT "perspective.js",
    "/player.js" SCRIPT "player.js",
    "/recording.js" SCRIPT "recording.js",
    "/remember.js" SCRIPT "remember.js",
    "/space.js" SCRIPT "space.js",
    "/status.js" SCRIPT "status.js",
    "/strip.js" SCRIPT "strip.js",
    "/surface.js" SCRIPT "surface.js",
    "/theme.css" STYLE "theme.css",
    "/theme.js" SCRIPT "theme.js",
    "/tile.js" SCRIPT "tile.js",
    "/timeline.js" SCRIPT "timeline.js",
    "/trace.js" SCRIPT "trace.js",
};

/// The file that `path` names.
pub(super) fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_what_it_imports_is_too() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/page");
        for entry in std::fs::read_dir(folder).expect("the page's folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            assert!(asset(&path).is_some(), "{path} is not served");
        }
        for script in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
            for import in script.text.split(" from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(asset(&format!("/{import}")).is_some(), "{} imports {import}", script.path);
            }
        }
    }
}
