#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "cmd/screen.h"

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

static struct {
	bool terminal, on;
	sigset_t set;
} screen;

static void put(const char *s)
{
	(void)!write(STDOUT_FILENO, s, strlen(s));
}

static void enter(void)
{
	if (screen.terminal && !screen.on)
		put(ENTER);
	screen.on = screen.terminal;
}

static void leave(void)
{
	if (screen.on)
		put(LEAVE);
	screen.on = false;
}

/* What no command can wait for: the terminal is given back, and the signal does what it does. */
static void on_fatal(int sig)
{
	leave();
	(void)raise(sig);
}

void kv_screen_begin(bool terminal)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	static const int drawn[] = { SIGWINCH, SIGTSTP, SIGCONT };
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct sigaction old, act = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND };

	screen.terminal = terminal;
	sigemptyset(&screen.set);
	/* nohup and a shell's & mean what they say. */
	for (size_t i = 0; i < KV_ARRAY_SIZE(taken); i++)
		if (sigaction(taken[i], NULL, &old) < 0 || old.sa_handler != SIG_IGN)
			sigaddset(&screen.set, taken[i]);
	for (size_t i = 0; terminal && i < KV_ARRAY_SIZE(drawn); i++)
		sigaddset(&screen.set, drawn[i]);
	for (size_t i = 0; terminal && i < KV_ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &act, NULL);
	sigprocmask(SIG_BLOCK, &screen.set, NULL);
	enter();
}

/* At most width characters of a line of UTF-8. */
static size_t cut(const char *line, size_t n, size_t width)
{
	size_t i = 0, shown = 0;

	for (; i < n; i++)
		if (((unsigned char)line[i] & 0xc0) != 0x80 && shown++ == width)
			break;
	return i;
}

void kv_screen_draw(const char *text, bool color)
{
	struct winsize size = { 0 };
	_buf_ struct kv_buf out = { 0 };
	size_t width, height;

	if (!screen.on)
		return;
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	width = size.ws_col ? size.ws_col : 80;
	height = size.ws_row ? size.ws_row : 24;
	kv_buf_str(&out, "\033[H");
	for (size_t row = 0; row < height && *text; row++) {
		size_t n = strcspn(text, "\n"), shown = cut(text, n, width);

		/* No newline behind the last row, which would scroll. */
		if (row)
			kv_buf_str(&out, "\r\n");
		if (row == 0 && color)
			kv_buf_str(&out, "\033[1m");
		kv_buf_add(&out, text, shown);
		if (row == 0 && color)
			kv_buf_str(&out, "\033[0m");
		/* A cursor behind the last column stands on it: that character would go too. */
		if (shown < n || cut(text, n, width - 1) == n)
			kv_buf_str(&out, shown < n ? "" : "\033[K");
		text += n + (text[n] == '\n');
	}
	kv_buf_str(&out, "\033[J");
	(void)kv_write_all(STDOUT_FILENO, out.text, out.n);
}

static void stop(void)
{
	leave();
	(void)raise(SIGSTOP);
	enter();
}

enum kv_wake kv_screen_wait(uint64_t until_ns)
{
	for (;;) {
		struct timespec t;
		uint64_t now, left;
		int sig;

		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		left = until_ns > now ? until_ns - now : 0;
		t.tv_sec = (time_t)(left / 1000000000);
		t.tv_nsec = (long)(left % 1000000000);
		sig = sigtimedwait(&screen.set, NULL, &t);
		if (sig < 0 && errno == EINTR)
			continue;
		if (sig < 0)
			return KV_WAKE_TIME;
		if (sig == SIGTSTP)
			stop();
		else if (sig != SIGWINCH && sig != SIGCONT)
			return KV_WAKE_END;
		return KV_WAKE_REDRAW;
	}
}

void kv_screen_end(void)
{
	leave();
}
