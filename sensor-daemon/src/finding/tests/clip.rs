use crate::{
    finding::{clip, json},
    model::Text,
};

#[test]
fn what_fits_is_left_alone() {
    for bytes in [&b"plain"[..], b"", b"caf\xe9", "é\n".as_bytes()] {
        let text = Text::from(bytes);
        assert_eq!(clip::text(&text, 100), (text.to_text(), false));
    }
}

#[test]
fn cutting_keeps_to_the_room_and_to_whole_characters() {
    let samples: [Vec<u8>; 6] = [
        b"x".repeat(5000),
        "é€🦀".repeat(500).into_bytes(),
        b"\x1b".repeat(5000),
        b"\xff".repeat(5000),
        b"\x80".repeat(5000),
        b"$'\\\"\xe2\x82".repeat(700),
    ];
    for bytes in samples {
        let text = Text(bytes);
        for room in [0, 1, 2, 3, 5, 8, 13, 100, 101, 102, 103, 4096] {
            let (shown, cut) = clip::text(&text, room);
            assert!(cut);
            assert_eq!(json::len(&shown), json::line(&shown).len() - 2);
            assert!(json::len(&shown) <= room.max(3), "{shown:?} in {room}");
            let back = Text::from_text(&shown).expect("a whole quotation or none");
            assert!(text.0.starts_with(&back.0), "{back:?}");
            if room >= 100 {
                // It makes use of the room: an escape and a character at most are wasted, and a share that comes
                // of measuring an average.
                assert!(json::len(&shown) * 10 >= room * 8, "{} of {room}", json::len(&shown));
            }
        }
    }
}

#[test]
fn valid_text_stays_valid_text() {
    let text = Text::from("ééé");
    let (shown, cut) = clip::text(&text, 3);
    assert_eq!((shown.as_ref(), cut), ("é", true));
}

#[test]
fn whole_arguments_come_first() {
    let argv: Vec<Text> = ["bash", "-c", "echo hello"].map(Text::from).to_vec();
    assert_eq!(
        clip::arguments(&argv, 1000),
        (["bash", "-c", "echo hello"].map(String::from).to_vec(), false)
    );
    assert_eq!(
        clip::arguments(&argv, 7 + 5 + 8),
        (["bash", "-c", "echo "].map(String::from).to_vec(), true)
    );
    assert_eq!(
        clip::arguments(&argv, 7 + 5 + 2),
        (["bash", "-c"].map(String::from).to_vec(), true)
    );
    assert_eq!(clip::arguments(&argv, 0), (vec![], true));
    assert_eq!(clip::arguments(&[], 0), (vec![], false));
}
