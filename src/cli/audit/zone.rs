//! The time zone that times are told in: local on a terminal, else UTC.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::Environment;
use crate::base::clock::Timestamp;
use crate::cli::terminal::Terminal;

/// The name of universal time.
const UTC: &str = "UTC";

/// A time zone with its name.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    /// Universal time.
    pub(in crate::cli) fn utc() -> Self {
        Self { zone: TimeZone::UTC, name: UTC.to_owned() }
    }

    /// The zone for who reads standard output: that of `TZ`, else the machine's, on a terminal, and
    /// UTC where another program or a file takes it, or where `utc` asks for it.
    pub(in crate::cli) fn found(environment: &Environment, now: Timestamp, utc: bool) -> Self {
        if utc || Terminal::found(environment).is_none() {
            return Self::utc();
        }
        TimeZone::try_system().map_or_else(|_unknown| Self::utc(), |zone| Self::of(zone, now))
    }

    /// A zone under its name. One without, such as a rule in `TZ`, is told by its offset from UTC
    /// now, and so is every time in it.
    fn of(zone: TimeZone, now: Timestamp) -> Self {
        if let Some(name) = zone.iana_name() {
            let is_utc = matches!(name, UTC | "Etc/UTC" | "Etc/Unknown");
            return if is_utc { Self::utc() } else { Self { name: name.to_owned(), zone } };
        }
        let now = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
        let offset = zone.to_offset(now);
        if offset.is_zero() {
            return Self::utc();
        }
        let name = now.to_zoned(zone).strftime("%:z").to_string();
        Self { zone: offset.to_time_zone(), name }
    }

    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// A moment whole, in RFC 3339.
    pub(in crate::cli) fn whole(&self, at: Timestamp) -> String {
        self.told(at, "%Y-%m-%dT%H:%M:%S%.3f%:z")
    }

    /// A moment to the second, which is enough for a list, in RFC 3339.
    pub(in crate::cli) fn second(&self, at: Timestamp) -> String {
        self.told(at, "%Y-%m-%dT%H:%M:%S%:z")
    }

    /// A moment as short as it is clear: without the year where that is this one.
    pub(in crate::cli) fn short(&self, at: Timestamp, now: Timestamp) -> String {
        let year = |at| self.zoned(at).map(|zoned| zoned.year());
        let is_this_year = year(at) == year(now);
        self.told(at, if is_this_year { "%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" })
    }

    fn told(&self, at: Timestamp, form: &str) -> String {
        let form = if self.name == UTC { form.replace("%:z", "Z") } else { form.to_owned() };
        let zoned = self.zoned(at);
        zoned.map_or_else(|| at.to_string(), |zoned| zoned.strftime(&form).to_string())
    }

    /// A moment on this zone's clocks; `None` beyond the years that clocks show.
    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let at = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_781_427_491_123);

    #[test]
    fn a_moment_is_told_in_its_zone() {
        let zone = |name: &str| Zone::of(TimeZone::get(name).unwrap(), AT);
        let rule = Zone::of(TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap(), AT);
        let next_year = Timestamp::from_millis(AT.millis() + 365 * 86_400_000);
        for (zone, name, whole, second, short) in [
            (Zone::utc(), UTC, "2026-06-14T08:58:11.123Z", "2026-06-14T08:58:11Z", "08:58"),
            (zone("Etc/UTC"), UTC, "2026-06-14T08:58:11.123Z", "2026-06-14T08:58:11Z", "08:58"),
            (
                zone("Asia/Shanghai"),
                "Asia/Shanghai",
                "2026-06-14T16:58:11.123+08:00",
                "2026-06-14T16:58:11+08:00",
                "16:58",
            ),
            (rule, "-04:00", "2026-06-14T04:58:11.123-04:00", "2026-06-14T04:58:11-04:00", "04:58"),
        ] {
            assert_eq!(zone.name(), name);
            assert_eq!((zone.whole(AT).as_str(), zone.second(AT).as_str()), (whole, second));
            assert_eq!(zone.short(AT, AT), format!("06-14 {short}:11"));
            assert_eq!(zone.short(AT, next_year), format!("2026-06-14 {short}"));
        }
    }

    #[test]
    fn a_year_begins_on_the_clocks_of_its_zone() {
        let shanghai = Zone::of(TimeZone::get("Asia/Shanghai").unwrap(), AT);
        let at = Timestamp::parse("2025-12-31T17:00:00Z").unwrap();
        assert_eq!(shanghai.short(at, AT), "01-01 01:00:00");
        assert_eq!(Zone::utc().short(at, AT), "2025-12-31 17:00");
        let beyond = Timestamp::from_millis(i64::MAX);
        assert_eq!(shanghai.second(beyond), beyond.to_string());
    }
}
