# shellcheck shell=bash disable=SC2154
# Loaded, after helper, by the files of tests that have a Slurm of their own (tests/slurm/up).

# slurm_missing [PROGRAM...]: whether there can be none here, or one of these is not there.
slurm_missing() {
	[ "$(id -u)" != 0 ] || ! command -v slurmctld munged "$@" >/dev/null
}

# slurm_dir NAME: an empty directory for a cluster, that the tasks of any user can reach.
slurm_dir() {
	local dir
	dir=$(mktemp -d "/tmp/kvpath-$1.XXXXXX")
	chmod 755 "$dir"
	echo "$dir"
}

# slurm_up ARG...: the cluster in $CLUSTER, which is the one of the commands that follow; ARG is what tests/slurm/up takes.
slurm_up() {
	# Whoever reads what bats writes must not wait for the daemons.
	SLURM_CONF=$("$top/tests/slurm/up" "$@" "$CLUSTER" 3>&-)
	export SLURM_CONF
}

# slurm_down DIR...: ends what up started there, and takes the directory away.
slurm_down() {
	local dir
	for dir in "$@"; do
		[ -d "$dir" ] || continue
		"$top/tests/slurm/down" "$dir"
		rm -rf "$dir"
	done
}

# job ARG...: a step of that cluster, as kv does it.
job() {
	into srun --chdir=/ "$@"
}
