//! How things look: in the colours of the terminal, or in none; with block characters, or with ASCII where nothing else can be shown.

use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::symbols::{bar, border};

/// How things look.
#[derive(Clone, Debug)]
pub(super) struct Theme {
    has_color: bool,
    pub(super) glyphs: Glyphs,
}

/// The characters that things are drawn with.
#[derive(Clone, Debug)]
pub(super) struct Glyphs {
    pub(super) bars: bar::Set<'static>,
    pub(super) border: border::Set<'static>,
    pub(super) rule: &'static str,
    pub(super) full: &'static str,
    pub(super) empty: &'static str,
    pub(super) descending: &'static str,
    pub(super) ascending: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    bars: bar::NINE_LEVELS,
    border: border::PLAIN,
    rule: "─",
    full: "█",
    empty: "░",
    descending: "↓",
    ascending: "↑",
};

const ASCII: Glyphs = Glyphs {
    bars: bar::Set {
        full: "#",
        seven_eighths: "#",
        three_quarters: "*",
        five_eighths: "*",
        half: "+",
        three_eighths: "-",
        one_quarter: ".",
        one_eighth: ".",
        empty: " ",
    },
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    rule: "-",
    full: "#",
    empty: ".",
    descending: "v",
    ascending: "^",
};

impl Theme {
    /// Makes one.
    pub(super) fn new(has_color: bool, has_unicode: bool) -> Self {
        Self { has_color, glyphs: if has_unicode { UNICODE } else { ASCII } }
    }

    /// Makes the one that the variables of the environment ask for: NO_COLOR, and those of the locale.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        Self::new(set("NO_COLOR").is_none(), locale.contains("utf-8") || locale.contains("utf8"))
    }

    fn colored(&self, color: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.has_color { style.fg(color) } else { style }
    }

    pub(super) fn title(&self) -> Style {
        self.colored(Color::Cyan, Modifier::BOLD)
    }

    /// Of lines, and of what only explains.
    pub(super) fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bars(&self) -> Style {
        self.colored(Color::Green, Modifier::empty())
    }

    pub(super) fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn heading(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Of what needs attention.
    pub(super) fn alarm(&self) -> Style {
        self.colored(Color::Red, Modifier::BOLD | Modifier::REVERSED)
    }

    /// Of a gauge, by how full it is.
    pub(super) fn gauge(&self, share: f64) -> Style {
        let color = if share >= 0.95 {
            Color::Red
        } else if share >= 0.8 {
            Color::Yellow
        } else {
            Color::Green
        };
        self.colored(color, Modifier::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_whether_there_are_colours_and_which_characters() {
        let theme = |set: &[(&str, &str)]| {
            Theme::of_environment(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(theme(&[("NO_COLOR", "")]).has_color && !theme(&[("NO_COLOR", "1")]).has_color);
        let rule = |set| theme(set).glyphs.rule;
        assert_eq!([rule(&[("LANG", "de_DE.UTF-8")]), rule(&[("LANG", "C.utf8")]), rule(&[])], ["─", "─", "-"]);
        assert_eq!(rule(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]), "-");
    }

    #[test]
    fn without_colours_nothing_is_told_by_colour() {
        let theme = Theme::new(false, true);
        for style in [theme.title(), theme.alarm(), theme.gauge(1.0), theme.bars(), theme.selected()] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
