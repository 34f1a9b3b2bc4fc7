//! Reads what a Matroska file of one video track says: not with the code that wrote it.

/// A video.
#[derive(Default)]
pub struct Film {
    pub width: u64,
    pub height: u64,
    pub codec: String,
    pub name: String,
    pub duration_ns: u64,
    /// Nominal time between pictures.
    pub interval_ns: u64,
    pub pictures: Vec<Picture>,
    /// Where clusters begin, from the beginning of the segment's content.
    pub clusters: Vec<u64>,
    /// Where the index says so.
    pub cues: Vec<u64>,
}

/// A picture of it.
pub struct Picture {
    pub time_ns: u64,
    pub jpeg: Vec<u8>,
}

impl Film {
    /// Reads a whole file.
    pub fn read(file: &[u8]) -> Self {
        let mut film = Self::default();
        let (head, _, rest) = element(file);
        let (segment, content, rest) = element(rest);
        assert_eq!((head, segment, rest.len()), (0x1A45_DFA3, 0x1853_8067, 0), "EBML, and one segment to the end");
        let mut left = content;
        let (mut scale_ns, mut seeks) = (0, Vec::new());
        while !left.is_empty() {
            let at = (content.len() - left.len()) as u64;
            let (id, inner, rest) = element(left);
            left = rest;
            match id {
                0x114D_9B74 => {
                    for seek in all(inner, 0x4DBB) {
                        seeks.push((uint(only(seek, 0x53AB)) as u32, uint(only(seek, 0x53AC))));
                    }
                }
                0x1549_A966 => {
                    scale_ns = uint(only(inner, 0x2A_D7B1));
                    film.duration_ns = f64::from_be_bytes(only(inner, 0x4489).try_into().expect("eight bytes")) as u64;
                }
                0x1654_AE6B => film.track(only(inner, 0xAE)),
                0x1F43_B675 => {
                    film.clusters.push(at);
                    let begins = uint(only(inner, 0xE7));
                    for block in all(inner, 0xA3) {
                        let [0x81, high, low, 0x80, jpeg @ ..] = block else { panic!("a block of track 1") };
                        let after = i16::from_be_bytes([*high, *low]);
                        let time_ns = begins.checked_add_signed(after.into()).expect("a time") * scale_ns;
                        film.pictures.push(Picture { time_ns, jpeg: jpeg.to_vec() });
                    }
                }
                0x1C53_BB6B => {
                    let places = all(inner, 0xBB).into_iter().map(|point| uint(only(only(point, 0xB7), 0xF1)));
                    film.cues = places.collect();
                }
                _ => {}
            }
        }
        for (id, at) in seeks {
            assert_eq!(element(&content[at as usize..]).0, id, "the head says where the parts are");
        }
        film
    }

    fn track(&mut self, track: &[u8]) {
        let text = |id| String::from_utf8(only(track, id).to_vec()).expect("UTF-8");
        (self.name, self.codec) = (text(0x536E), text(0x86));
        self.interval_ns = uint(only(track, 0x23_E383));
        let video = only(track, 0xE0);
        (self.width, self.height) = (uint(only(video, 0xB0)), uint(only(video, 0xBA)));
    }
}

/// Number and content of the first element, and what follows it.
pub fn element(bytes: &[u8]) -> (u32, &[u8], &[u8]) {
    let id_length = bytes[0].leading_zeros() as usize + 1;
    let (id, rest) = bytes.split_at(id_length);
    let size_length = rest[0].leading_zeros() as usize + 1;
    let (size, rest) = rest.split_at(size_length);
    let size = uint(size) & ((1 << (7 * size_length)) - 1);
    let (content, rest) = rest.split_at(size as usize);
    (uint(id) as u32, content, rest)
}

fn all(mut bytes: &[u8], wanted: u32) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (id, content, rest) = element(bytes);
        found.extend((id == wanted).then_some(content));
        bytes = rest;
    }
    found
}

fn only(bytes: &[u8], wanted: u32) -> &[u8] {
    let [content] = all(bytes, wanted)[..] else { panic!("one element {wanted:X}") };
    content
}

fn uint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
