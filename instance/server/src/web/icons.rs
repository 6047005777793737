//! Icons, drawn into the page so that they take the colour of its text.

pub(crate) const CHEVRON: &str = include_str!("../../web/icons/chevron.svg");
pub(crate) const CLIP: &str = include_str!("../../web/icons/clip.svg");
pub(crate) const CLOSE: &str = include_str!("../../web/icons/close.svg");
pub(crate) const DOWN: &str = include_str!("../../web/icons/down.svg");
pub(crate) const FILE: &str = include_str!("../../web/icons/file.svg");
pub(crate) const FOLDER: &str = include_str!("../../web/icons/folder.svg");
pub(crate) const MENU: &str = include_str!("../../web/icons/menu.svg");
pub(crate) const MORE: &str = include_str!("../../web/icons/more.svg");
pub(crate) const PANEL: &str = include_str!("../../web/icons/panel.svg");
pub(crate) const PLUS: &str = include_str!("../../web/icons/plus.svg");
pub(crate) const SEND: &str = include_str!("../../web/icons/send.svg");
pub(crate) const SIGN_OUT: &str = include_str!("../../web/icons/sign-out.svg");
pub(crate) const STOP: &str = include_str!("../../web/icons/stop.svg");
pub(crate) const WARNING: &str = include_str!("../../web/icons/warning.svg");
pub(crate) const MARK: &str = include_str!("../../web/icon.svg");
