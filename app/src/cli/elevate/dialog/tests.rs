//! What a command has in it is shown, and does nothing.

use super::{kdialog, zenity};

const HOSTILE: &str = r"Reason for running '<b>id</b> &amp; _x \n --yes': ";

#[test]
fn no_text_is_markup_or_an_option() {
    let shown = kdialog(HOSTILE, false);
    assert_eq!(
        shown[2..],
        ["--inputbox", "<qt>Reason for running '&lt;b&gt;id&lt;/b&gt; &amp;&amp;amp; _x &#92;n --yes': </qt>"]
    );
    let shown = kdialog("'a & b'", true);
    assert_eq!(shown[2..], ["--password", "<qt>'a &amp; b'</qt>"]);
    let shown = zenity(HOSTILE, true);
    assert_eq!(shown[2..], [r"--text=Reason for running '<b>id</b> &amp; __x \\n --yes': ", "--hide-text"]);
}
