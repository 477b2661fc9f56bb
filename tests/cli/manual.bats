#!/usr/bin/env bats
# Man pages and completions: every command has them, and real shells complete what --help names.

load helper

setup() {
	manual=$(dirname "$(dirname "$KVPATH")")/src/manual
	commands=$("$KVPATH" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
	[ "$(wc -w <<<"$commands")" -gt 10 ]
}

options() {
	"$KVPATH" "$1" --help | sed -n '/^Options:/,/^$/s/^  \(--[a-z-]*\).*/\1/p' | sort
}

@test "every command has a page, and no other has one" {
	{
		echo kvpath.1
		# shellcheck disable=SC2086 # names
		printf 'kvpath-%s.1\n' $commands
	} | sort >"$BATS_TEST_TMPDIR/want"
	ls "$manual/man1" | diff "$BATS_TEST_TMPDIR/want" -
}

@test "every page has its parts, an example among them" {
	for c in $commands; do
		page=$(MANWIDTH=200 man -l "$manual/man1/kvpath-$c.1" | col -b)
		for part in NAME SYNOPSIS DESCRIPTION OPTIONS "EXIT STATUS" EXAMPLES "SEE ALSO"; do
			grep -qx "$part" <<<"$page" || { echo "kvpath-$c.1 has no $part"; false; }
		done
		for o in $(options "$c"); do
			grep -q "^  *$o\b" <<<"$page" || { echo "kvpath-$c.1 lacks $o"; false; }
		done
	done
}

@test "mandoc and groff have nothing to say of any page" {
	for page in "$manual"/man1/*.1; do
		run mandoc -Tlint -Wstyle "$page"
		[ "$output" = "" ] || { echo "$output"; false; }
		run groff -ww -man -Tutf8 -z "$page"
		[ "$output" = "" ] || { echo "$output"; false; }
	done
}

@test "an example of --help is a command line that kvpath takes" {
	# Whether every option in it is one of the command; what it would do is tested elsewhere.
	for c in $commands; do
		examples=$("$KVPATH" "$c" --help | sed -n '/^Examples:/,$s/^      //p')
		[ -n "$examples" ] || { echo "$c has no example"; false; }
		while read -r line; do
			line=${line##*| kvpath}
			for word in ${line%% -- *}; do
				[[ $word == --[a-z]* ]] || continue
				options "$c" | grep -qx -- "$word" || { echo "$c: $word in: $line"; false; }
			done
		done <<<"$examples"
	done
}

# bash_words WORD...: what the function offers for the last word.
bash_words() {
	bash --norc -c 'source "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _kvpath
		printf "%s\n" "${COMPREPLY[@]}"' _ "$manual/kvpath" "$@" | sed '/^$/d' | sort
}

@test "bash: commands, and the options of each" {
	shellcheck -s bash "$manual/kvpath"
	bash_words kvpath '' | grep -v '^--' | diff <(sort <<<"$commands") -
	for c in $commands; do
		bash_words kvpath "$c" -- | diff <(options "$c") -
	done
}

@test "bash: values, files, and what follows --" {
	[ "$(bash_words kvpath check --mem '')" = $'dram\nvram' ]
	[ "$(bash_words kvpath check --mem = v)" = vram ]
	[ "$(bash_words kvpath check --mem =)" = $'dram\nvram' ]
	[ "$(bash_words kvpath explain KV40 | head -n 1)" = KV401 ]
	[[ $(bash_words kvpath render --for '') == *preamble* ]]
	[[ $(bash_words kvpath size g) == glm-4.7 ]]
	[ "$(bash_words kvpath bench --tokens '')" = "" ]
	cd "$BATS_TEST_TMPDIR"
	mkdir "a dir"
	touch "a file"
	[ "$(bash_words kvpath check --fabric a)" = "a dir" ]
	[ "$(bash_words kvpath check a)" = $'a dir\na file' ]
	[ "$(bash_words kvpath run -- a)" = "$(compgen -c -- a | sort)" ]
	[ "$(bash_words kvpath run -- cat a)" = $'a dir\na file' ]
}

# completed SHELL LINE WANT: what an interactive one makes of it and the tab key.
completed() {
	local file=$manual/kvpath
	[ "$1" = bash ] || file=$manual/_kvpath
	run "$top/tests/cli/complete.py" "$1" "$file" "$2"
	[ "$status" = 0 ]
	[ "${lines[0]}" = "$3" ] || { echo "$output"; false; }
}

@test "bash and zsh at a terminal" {
	for shell in bash zsh; do
		completed $shell 'kvpath che' 'kvpath check '
		completed $shell 'kvpath check --fab' "kvpath check --fabric$([ $shell = bash ] && echo ' ' || echo =)"
		completed $shell 'kvpath why --process=prog' 'kvpath why --process=program '
		completed $shell 'kvpath render --for ' 'kvpath render --for '
		[[ $output == *cdi*dockerfile* ]]
		completed $shell 'kvpath explain KV40' 'kvpath explain KV40'
		[[ $output == *KV401*KV402* ]]
	done
}

@test "fish: commands, options, values" {
	fish_words() {
		HOME=$BATS_TEST_TMPDIR fish --no-config -c 'source $argv[1]; complete -C "$argv[2]"' "$manual/kvpath.fish" "$1" |
			cut -f 1 | sort
	}
	cd "$BATS_TEST_TMPDIR"
	fish_words 'kvpath ' | diff <(sort <<<"$commands") -
	for c in $commands; do
		fish_words "kvpath $c --" | diff <(options "$c") -
	done
	[ "$(fish_words 'kvpath check --mem ')" = $'dram\nvram' ]
	[ "$(fish_words 'kvpath check --mem=v')" = '--mem=vram' ]
	[[ $(fish_words 'kvpath render --for ') == *cdi* ]]
	[ "$(fish_words 'kvpath explain KV40' | head -n 1)" = KV401 ]
}

@test "zsh: the options of a command" {
	zsh -n "$manual/_kvpath"
	for c in check bench watch; do
		completed zsh "kvpath $c --" "kvpath $c --"
		for o in $(options "$c"); do
			[[ $output == *"$o"* ]] || { echo "$c: $o is not in: $output"; false; }
		done
	done
}

@test "make help names every target" {
	targets=$(sed -n 's/^\.PHONY: //p' "$top/Makefile")
	[ "$(wc -w <<<"$targets")" -gt 15 ]
	help=$(make -s -C "$top" help)
	for t in $targets; do
		[ "$t" = build ] || [ "$t" = help ] || grep -q "^make $t\b" <<<"$help" || { echo "make help does not name $t"; false; }
	done
}
