//! `changegate man`: the manual page, every command on it.

use std::io;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use super::{Failure, command, print};

/// Prints it, in roff.
pub fn run() -> Result<(), Failure> {
    let page = page(&command()).context("can't write the page");
    print::line(page.map_err(Failure::NotCarriedOut)?.trim_end())
}

fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    page.push_str(&section(|roff| man.render_name_section(roff))?);
    page.push_str(&section(|roff| man.render_synopsis_section(roff))?);
    page.push_str(&section(|roff| man.render_description_section(roff))?);
    page.push_str(&section(|roff| man.render_options_section(roff))?);
    page.push_str(".SH COMMANDS\n");
    commands(command, command.get_name(), &mut page)?;
    Ok(page)
}

/// Adds the commands below one that is called `name`, each with a heading of its own.
fn commands(command: &Command, name: &str, page: &mut String) -> io::Result<()> {
    for command in command.get_subcommands() {
        let name = format!("{name} {}", command.get_name());
        // What every command has is told once, at the beginning.
        let man = Man::new(command.clone().bin_name(&name).disable_help_flag(true));
        page.extend([".SS \"", &name, "\"\n"]);
        page.push_str(body(&section(|roff| man.render_description_section(roff))?));
        page.push_str(".PP\n");
        page.push_str(body(&section(|roff| man.render_synopsis_section(roff))?));
        if command.get_arguments().next().is_some() {
            page.push_str(body(&section(|roff| man.render_options_section(roff))?));
        }
        if command.get_after_help().is_some() {
            page.push_str(".PP\n");
            page.push_str(body(&section(|roff| man.render_extra_section(roff))?));
        }
        commands(command, &name, page)?;
    }
    Ok(())
}

/// A section without the definitions that each is rendered with, which the title has.
fn section(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut roff = Vec::new();
    render(&mut roff)?;
    let text = String::from_utf8_lossy(&roff);
    let begin = text.find(".SH ").unwrap_or_default();
    Ok(text.get(begin..).unwrap_or_default().to_owned())
}

/// A section without its heading.
fn body(section: &str) -> &str {
    section.split_once('\n').map_or(section, |(_heading, body)| body)
}
