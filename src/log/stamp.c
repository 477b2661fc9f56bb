/* Times as they stand in logs, with a year or without. */
#include "log/scan.h"

/* Days since 1970 of a date of the Gregorian calendar (as in C++'s chrono, days_from_civil). */
static int64_t days(int year, int month, int day)
{
	int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t kv_log_civil(int year, int month, int day, const struct scan *sc, size_t clock)
{
	int h = digits(sc, clock, 2), m = digits(sc, clock + 3, 2), s = digits(sc, clock + 6, 2);

	if (month < 1 || month > 12 || day < 1 || day > 31 || h > 23 || m > 59 || s > 60)
		return -1;
	/* A year that is not printed is the file's, or the one before for later months. */
	if (year < 0)
		year = sc->date.year - (month > sc->date.month);
	return days(year, month, day) * 86400 + h * 3600 + m * 60 + s;
}

/* Fractions and a zone behind a time of day. The zone is dropped: clocks are taken as printed. */
static size_t skip_zone(const struct scan *sc, size_t at)
{
	if (is_one(sc, at, ".,"))
		at = skip_digits(sc, at + 1);
	if (is_one(sc, at, "Z"))
		return at + 1;
	if (is_one(sc, at, "+-") && like(sc, at + 1, "99:99"))
		return at + 6;
	/* journalctl -o short-iso */
	if (is_one(sc, at, "+-") && like(sc, at + 1, "9999"))
		return at + 5;
	return at;
}

static const struct stamp {
	const char *shape;
	uint8_t year, month, day, clock; /* places; 0xff: no year */
} stamps[] = {
	{ "9999-99-99X99:99:99", 0, 5, 8, 11 },    /* ISO: CRI, NIXL's Python, SGLang, Dynamo */
	{ "99-99 99:99:99", 0xff, 0, 3, 6 },       /* vLLM */
	{ "99/99/9999-99:99:99", 6, 0, 3, 11 },    /* TensorRT-LLM, Python */
	{ "99-99-9999 99:99:99", 6, 0, 3, 11 },    /* TensorRT-LLM, C++ */
	{ "9999 99:99:99.999999", 0xff, 0, 2, 5 }, /* NIXL's C++, behind the severity */
};

bool kv_log_take_stamp(struct scan *sc, size_t at)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(stamps); i++) {
		const struct stamp *t = &stamps[i];
		size_t n = like(sc, at, t->shape);
		int64_t time;

		if (!n)
			continue;
		time = kv_log_civil(t->year == 0xff ? -1 : digits(sc, at + t->year, 4),
				    digits(sc, at + t->month, 2), digits(sc, at + t->day, 2), sc,
				    at + t->clock);
		if (time >= 0)
			sc->ret->time = time;
		sc->at = skip_zone(sc, at + n);
		return true;
	}
	return false;
}

bool kv_log_take_epoch(struct scan *sc, size_t at, size_t end)
{
	if (end - at < 9 || end - at > 11)
		return false;
	sc->ret->time = 0;
	for (; at < end; at++)
		sc->ret->time = sc->ret->time * 10 + (sc->s.p[at] - '0');
	return true;
}
