/*
 * load ROOT CWD PROGRAM NAME [VARIABLE=VALUE...]: as `kvpath why --json NAME`, but it is PROGRAM
 * that opens NAME ("-": one that links libc alone), started in CWD, and NAME is given to dlopen as
 * it is. The model's side of oracle/trees where the program has a path of its own or starts
 * elsewhere than in
 * "/", or NAME does not begin with '/'.
 */
#include "report/report.h"

int main(int argc, char **argv)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_process_opts opts = { 0 };
	struct kv_env env = { 0 };
	struct kv_loader *l;
	struct kv_process *p;
	struct kv_load load;
	struct kv_root *r;
	struct kv_err err;

	if (argc < 5 || kv_root_open(a, argv[1], &r, &err) < 0)
		return 2;
	for (int i = 5; i < argc; i++)
		kv_env_put(a, &env, argv[i]);
	opts.exe = kv_streq(argv[3], "-") ? NULL : argv[3];
	opts.env = &env;
	l = kv_loader_new(r, EM_X86_64, /* is64= */ true, /* be= */ false, kv_cpu_level());
	kv_loader_start_in(l, argv[2]);
	p = kv_process_start(l, &opts, &load);
	if (load.object)
		kv_process_dlopen(p, argv[4], NULL, 0, &load);
	if (kv_json_print(stdout, kv_json_why(a, argv[4], "program", &load)) < 0)
		return 2;
	kv_root_close(r);
	kv_arena_free(a);
	return 0;
}
