/*
 * A table that is drawn again and again on a terminal, on its other screen, and the waiting between
 * the drawings. Signals are taken while waiting, so that the terminal is given back as it was
 * whichever of them ends the command.
 */
#ifndef KV_CMD_SCREEN_H
#define KV_CMD_SCREEN_H

#include "base/base.h"

enum kv_wake {
	KV_WAKE_TIME,   /* the deadline has come */
	KV_WAKE_REDRAW, /* the terminal has another size, or came back */
	KV_WAKE_END     /* a signal wants the command to end */
};

/* Takes over the signals; on a terminal, its screen too. */
void kv_screen_begin(bool terminal);
/* Draws text cut to the terminal; the first line bold where color is set. */
void kv_screen_draw(const char *text, bool color);
/* Waits until the time of CLOCK_MONOTONIC. */
enum kv_wake kv_screen_wait(uint64_t until_ns);
void kv_screen_end(void);

#endif
