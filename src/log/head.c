/*
 * What stands before a message: the layers that a record went through on its way into the file, the
 * outermost first (kubectl, docker, srun, a framework's tags), each of which may name a process or
 * a time. The innermost time is kept, as it is the process's own.
 */
#include <ctype.h>
#include <time.h>

#include "log/scan.h"

#define LAYERS 12

/* ---- layers: each takes what it knows at sc->at, or leaves it ---- */

static bool layer_ansi(struct scan *sc)
{
	static const char *const starts[] = { "[", "\033[", "\\x1b[", "\\u001b[" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(starts); i++) {
		size_t n = like(sc, sc->at, starts[i]), end = sc->at + n;

		while (n && (is_one(sc, end, ";") || (end < sc->s.n && isdigit(sc->s.p[end]))))
			end++;
		/* An escape that was torn leaves "[2m". */
		if (!n || !is_one(sc, end, "mK") || (i == 0 && end == sc->at + n))
			continue;
		sc->at = end + 1;
		/* vLLM and Ray colour a tag, not the space behind it. */
		while (is_one(sc, sc->at, " "))
			sc->at++;
		return true;
	}
	return false;
}

/* Docker's json-file, and what else starts as JSON before the text or the time. */
static bool layer_json(struct scan *sc)
{
	static const char *const starts[] = { "{\"log\":\"", "{\"time\":\"", "{\"message\":\"" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(starts); i++) {
		size_t n = like(sc, sc->at, starts[i]);

		if (!n)
			continue;
		if (!sc->ret->json)
			sc->ret->json = sc->at + 1;
		sc->at += n;
		return true;
	}
	return false;
}

/* "2026-... ", with what CRI and sflow put behind it. */
static bool layer_time(struct scan *sc)
{
	static const char *const behind[] = { " stdout F ", " stderr F ", " stdout P ",
					      " stderr P " };
	size_t severity = is_one(sc, sc->at, "IWEF") ? 1 : 0;
	char letter = severity ? (char)sc->s.p[sc->at] : '\0';
	size_t n;

	if (severity && !like(sc, sc->at + 1, "9999 99:99:99"))
		return false;
	if (!kv_log_take_stamp(sc, sc->at + severity))
		return false;
	if (severity)
		sc->ret->severity = letter;
	sc->innermost = severity;
	for (size_t i = 0; i < KV_ARRAY_SIZE(behind); i++) {
		n = like(sc, sc->at, behind[i]);
		sc->at += n;
		if (n)
			return true;
	}
	while (is_one(sc, sc->at, " "))
		sc->at++;
	return true;
}

/* "[2026-02-27 15:01:51 DP0 TP8] ", "[08/19/2026-14:11:49] ", "[1746690477.974497] [host:611:0] "
 */
static bool layer_bracketed_time(struct scan *sc)
{
	size_t at = sc->at, end;

	if (!is_one(sc, at, "["))
		return false;
	end = skip_digits(sc, at + 1);
	if (is_one(sc, end, ".") && kv_log_take_epoch(sc, at + 1, end)) {
		end = find(sc, end, "]");
	} else {
		if (!kv_log_take_stamp(sc, at + 1))
			return false;
		end = find(sc, sc->at, "]");
		if (end != SIZE_MAX && end > sc->at + 1 && is_one(sc, sc->at, " "))
			sc->ret->rank = (struct kv_span){ sc->s.p + sc->at + 1, end - sc->at - 1 };
	}
	if (end == SIZE_MAX)
		return false;
	sc->at = end + 1 + is_one(sc, end + 1, " ");
	sc->innermost = true;
	return true;
}

/* Layers may name one after the other: all of them together tell processes apart. */
static bool take_label(struct scan *sc, size_t from, size_t to, size_t next)
{
	struct kv_log_head *h = sc->ret;
	size_t n = to - from, sep = h->label_n ? 1 : 0;

	if (n > sizeof(h->label) - h->label_n - sep)
		n = sizeof(h->label) - h->label_n - sep;
	memset(h->label + h->label_n, ' ', sep);
	for (size_t i = 0; i < n; i++)
		h->label[h->label_n + sep + i] =
			(char)(sc->s.p[from + i] ? sc->s.p[from + i] : ' ');
	h->label_n += sep + n;
	sc->at = next;
	return true;
}

/* "node-3 worker[4711]: " of journald and syslog, behind the time. */
static bool layer_unit(struct scan *sc)
{
	size_t space = find(sc, sc->at, " "), open, end;

	open = space == SIZE_MAX ? space : find(sc, space + 1, " [");
	end = open == SIZE_MAX ? open : skip_digits(sc, open + 1);
	if (end == SIZE_MAX || end == open + 1 || !is_one(sc, open, "[") || !like(sc, end, "]: "))
		return false;
	return take_label(sc, sc->at, end + 1, end + 3);
}

/* "Nov 22 18:40:10 " */
static bool layer_journal(struct scan *sc)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	bool is_short = is_one(sc, sc->at + 4, " ");
	size_t n = like(sc, sc->at + 3, is_short ? "  9 99:99:99 " : " 99 99:99:99 ");
	size_t day = sc->at + 4 + is_short, clock = sc->at + 7;

	for (size_t i = 0; n && i < sizeof(months) - 1; i += 3) {
		int64_t time;

		if (memcmp(sc->s.p + sc->at, months + i, 3) != 0)
			continue;
		time = kv_log_civil(-1, (int)i / 3 + 1, digits(sc, day, 2 - is_short), sc, clock);
		if (time >= 0)
			sc->ret->time = time;
		sc->at += 3 + n;
		return true;
	}
	return false;
}

/* "[1,0]<stderr>:" of mpirun --tag-output: the job and the rank. */
static bool layer_mpirun(struct scan *sc)
{
	static const char *const streams[] = { "]<stdout>:", "]<stderr>:", "]<stddiag>:" };
	size_t comma = skip_digits(sc, sc->at + 1), end, n;

	if (comma == sc->at + 1 || !is_one(sc, comma, ","))
		return false;
	end = skip_digits(sc, comma + 1);
	for (size_t i = 0; end != comma + 1 && i < KV_ARRAY_SIZE(streams); i++) {
		n = like(sc, end, streams[i]);
		if (n)
			return take_label(sc, sc->at + 1, end, end + n);
	}
	return false;
}

/* "[pod/NAME/CONTAINER] " of kubectl, "[prefill 0] " of launchers. */
static bool layer_bracketed_name(struct scan *sc)
{
	size_t at = sc->at, end = is_one(sc, at, "[") ? find(sc, at, "]") : SIZE_MAX, n = at + 1;

	if (end == SIZE_MAX || !is_one(sc, end + 1, " "))
		return false;
	if (like(sc, n, "pod/"))
		return take_label(sc, n, end, end + 2);
	while (n < end && (islower(sc->s.p[n]) || is_one(sc, n, "-_")))
		n++;
	if (n == at + 1 || !is_one(sc, n, " ") || skip_digits(sc, n + 1) != end || n + 1 == end)
		return false;
	return take_label(sc, at + 1, end, end + 2);
}

/* "- sflow.task.decode - INFO - " */
static bool layer_sflow(struct scan *sc)
{
	size_t from = sc->at + like(sc, sc->at, "- sflow.task."), to = find(sc, from, " ");

	if (from == sc->at || to == SIZE_MAX || !like(sc, to, " - INFO - "))
		return false;
	return take_label(sc, from, to, to + strlen(" - INFO - "));
}

/* " 3: " of srun --label. */
static bool layer_srun(struct scan *sc)
{
	size_t from = sc->at, to;

	while (is_one(sc, from, " ") && from - sc->at < 6)
		from++;
	to = skip_digits(sc, from);
	if (to == from || to - from > 6 || !like(sc, to, ": "))
		return false;
	return take_label(sc, from, to, to + 2);
}

/* "decode-1  | " of docker compose. */
static bool layer_compose(struct scan *sc)
{
	size_t at = sc->at, end;

	while (at < sc->s.n && (isalnum(sc->s.p[at]) || is_one(sc, at, "_.-")))
		at++;
	end = at;
	while (is_one(sc, at, " "))
		at++;
	if (end == sc->at || at == end || !like(sc, at, "| "))
		return false;
	return take_label(sc, sc->at, end, at + 2);
}

/* "POD CONTAINER " of stern: a pod's name ends in five characters of Kubernetes' own alphabet. */
static bool layer_stern(struct scan *sc)
{
	size_t space = find(sc, sc->at, " "), next;

	if (space == SIZE_MAX || space - sc->at < 8 || !is_one(sc, space - 6, "-"))
		return false;
	for (size_t i = space - 5; i < space; i++)
		if (!is_one(sc, i, "bcdfghjklmnpqrstvwxz2456789"))
			return false;
	next = find(sc, space + 1, " ");
	if (next == SIZE_MAX ||
	    (!is_one(sc, next + 1, "([{ABCDEFGHIJKLMNOPQRSTUVWXYZ\033") &&
	     skip_digits(sc, next + 1) == next + 1 && !like(sc, next + 1, "libfabric:")))
		return false;
	return take_label(sc, sc->at, next, next + 1);
}

/* "(EngineCore_DP0 pid=304) " of vLLM, "(RayWorker pid=5, ip=10.0.0.1) " of Ray. */
static bool layer_tag(struct scan *sc)
{
	size_t space = is_one(sc, sc->at, "(") ? find(sc, sc->at, " )") : SIZE_MAX;
	size_t end, close, next, ip;
	uint32_t pid = 0;

	if (space == SIZE_MAX || !like(sc, space, " pid="))
		return false;
	for (size_t i = sc->at + 1; i < space; i++)
		if (!isalnum(sc->s.p[i]) && !is_one(sc, i, "_-."))
			return false;
	end = skip_digits(sc, space + 5);
	if (end == space + 5 || end - space > 14)
		return false;
	for (size_t i = space + 5; i < end; i++)
		pid = pid * 10 + (uint32_t)(sc->s.p[i] - '0');
	sc->ret->tag = (struct kv_span){ sc->s.p + sc->at + 1, space - sc->at - 1 };
	sc->ret->pid = pid;
	close = find(sc, end, ")");
	if (close == SIZE_MAX)
		return false;
	next = close + 1 + is_one(sc, close + 1, " ");
	/* Containers of two nodes have the same pids. */
	ip = end + like(sc, end, ", ip=");
	if (ip != end)
		return take_label(sc, ip, close, next);
	sc->at = next;
	return true;
}

static bool layer_level(struct scan *sc)
{
	static const char *const levels[] = { "DEBUG ", "INFO ", "WARNING ", "ERROR ",
					      "CRITICAL " };

	for (size_t i = 0; i < KV_ARRAY_SIZE(levels); i++) {
		size_t n = like(sc, sc->at, levels[i]);

		if (!n || !kv_log_take_stamp(sc, sc->at + n))
			continue;
		sc->at += is_one(sc, sc->at, " ");
		sc->innermost = true;
		return true;
	}
	return false;
}

/* "libfabric:16945:1772632639:" */
static bool layer_libfabric(struct scan *sc)
{
	size_t pid = sc->at + like(sc, sc->at, "libfabric:"), at;

	if (pid == sc->at)
		return false;
	at = skip_digits(sc, pid);
	if (is_one(sc, at, ":"))
		(void)kv_log_take_epoch(sc, at + 1, skip_digits(sc, at + 1));
	sc->innermost = true;
	return true;
}

/* By the byte that each starts with: 9 stands for a digit, A for a letter. */
static const struct {
	const char *first;
	bool (*take)(struct scan *sc);
} layers[] = {
	{ "\033\\[", layer_ansi },     { "9IWEF", layer_time },
	{ "[", layer_bracketed_time }, { "(", layer_tag },
	{ "DIWEC", layer_level },      { "9 ", layer_srun },
	{ "[", layer_bracketed_name }, { "{", layer_json },
	{ "9A_.-", layer_compose },    { "9A", layer_stern },
	{ "l", layer_libfabric },      { "-", layer_sflow },
	{ "JFMASOND", layer_journal }, { "9A", layer_unit },
	{ "[", layer_mpirun },
};

static bool take_layer(struct scan *sc)
{
	uint8_t c;
	char class;

	if (!kv_span_u8(sc->s, sc->at, &c))
		return false;
	class = isdigit(c) ? '9' : isalpha(c) ? 'A' : '\0';
	for (size_t i = 0; i < KV_ARRAY_SIZE(layers); i++)
		for (const char *f = layers[i].first; *f; f++)
			if ((uint8_t)*f == c || *f == class) {
				if (layers[i].take(sc))
					return true;
				break;
			}
	return false;
}

void kv_log_head_parse(struct kv_span line, struct kv_log_date date, struct kv_log_head *ret)
{
	struct scan sc = { .s = line, .date = date, .ret = ret };
	unsigned n = 0;

	*ret = (struct kv_log_head){ .time = -1 };
	while (n < LAYERS && !sc.innermost && take_layer(&sc))
		n++;
	ret->end = sc.at;
	if (!ret->json && like(&sc, sc.at, "{\""))
		ret->json = sc.at + 1;
}

char *kv_log_time_text(struct kv_arena *a, int64_t time)
{
	time_t t = (time_t)time;
	struct tm tm;
	char text[64];

	if (time < 0 || !gmtime_r(&t, &tm))
		return kv_strdup(a, "");
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	return kv_strdup(a, text);
}
