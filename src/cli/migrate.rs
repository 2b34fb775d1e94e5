//! `changegate migrate`: the tables of a log in PostgreSQL, made and brought up to date.

use anyhow::anyhow;
use serde_json::json;

use super::{Failure, print, runtime};
use crate::audit::migrate::{Migrated, migrate};
use crate::base::database::Database;

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// The URL of the database, as its owner logs in: `postgres://OWNER@HOST/DATABASE`. Its
    /// password is better in the variable `PGPASSWORD`, since arguments are seen by others.
    #[arg(long, value_name = "URL")]
    database: String,
    /// Print {"version":…,"migrations":[…],"roles":[…]}.
    #[arg(long)]
    json: bool,
}

/// Makes what is missing, and says what that was.
pub fn run(arguments: &MigrateArgs) -> Result<(), Failure> {
    let database = Database::parse(&arguments.database);
    let database = database.map_err(|fix| Failure::Usage(anyhow!("--database: {fix}")))?;
    let Database::Postgres(url) = &database else {
        return Err(Failure::Usage(anyhow!(
            "--database: a log in SQLite is brought up to date by `changegate serve`; name one in \
             PostgreSQL"
        )));
    };
    let migrated = runtime()?.block_on(migrate(url));
    let migrated = migrated.map_err(|error| Failure::NotCarriedOut(error.into()))?;
    let Migrated { roles, migrations, version } = migrated;
    if arguments.json {
        let names: Vec<&str> = migrations.iter().map(|(_version, name)| *name).collect();
        return print::line(json!({"version": version, "migrations": names, "roles": roles}));
    }
    for role in &roles {
        print::line(format_args!(
            "The role {role} is made; give it a password, or a way to log in without one."
        ))?;
    }
    for (version, name) in &migrations {
        print::line(format_args!("Migration {version} ({name}) is done."))?;
    }
    if migrations.is_empty() {
        return print::line(format_args!(
            "The tables of {database} are of version {version} already; their functions are made \
             anew."
        ));
    }
    print::line(format_args!(
        "The tables of {database} are of version {version} now; gateways log in as the role \
         changegate."
    ))
}
