/*
 * The facts of a host: cards, verbs devices, GPUs, modules, limits. Read through a kv_sysroot, so
 * that they are the same for a host and for its recording. One file collects one noun.
 */
#ifndef KV_INSPECT_HOST_H
#define KV_INSPECT_HOST_H

#include "inspect/sysroot.h"

#define KV_UNLIMITED UINT64_MAX

/* ---- PCI: host_pci.c ---- */

/* A PCI function of an EFA, or of a GPU. */
struct kv_pci {
	const char *address; /* "0000:4f:00.0" */
	const char *path; /* resolved, "/sys/devices/pci0000:44/..."; NULL where it leads nowhere */
	unsigned device;  /* 0xefa1 */
	const char *driver; /* "efa"; NULL where none is bound */
	const char *uverbs; /* of an EFA: "uverbs0", as its own directory has it; NULL */
	const char *iommu;  /* "DMA", "DMA-FQ", "identity"; NULL without an IOMMU */
	int numa;           /* -1 where the machine does not tell */
};

typedef KV_VEC(struct kv_pci) kv_pcis;

/* How far a GPU's bytes go to reach a card, nearest first. */
enum kv_distance {
	KV_NEAR_SWITCH,  /* below one PCI switch or bridge */
	KV_NEAR_COMPLEX, /* through one root complex */
	KV_NEAR_NUMA,    /* through one NUMA node */
	KV_FAR,
	KV_DISTANCE_UNKNOWN,
	_KV_DISTANCE_COUNT
};
extern const char *const kv_distance_name[_KV_DISTANCE_COUNT];

enum kv_distance kv_pci_distance(const struct kv_pci *a, const struct kv_pci *b);

/* ---- verbs devices: host_verbs.c ---- */

enum kv_p2p { KV_P2P_UNKNOWN, KV_P2P_NONE, KV_P2P_YES, _KV_P2P_COUNT };
extern const char *const kv_p2p_name[_KV_P2P_COUNT];

struct kv_verbs {
	const char *name;    /* "rdmap79s0" */
	const char *uverbs;  /* "uverbs0" */
	const char *node;    /* "/dev/infiniband/uverbs0" */
	const char *driver;  /* of its card: "efa", "mlx5_core"; "unknown" */
	const char *address; /* of its card; NULL */
	bool shown;          /* /sys/class/infiniband has it too, as libibverbs wants */
	struct kv_node open;
	enum kv_p2p p2p; /* whether its driver can reach GPU memory by a peer's help */
};

/* ---- the machine: host_system.c ---- */

/* What is public about an instance type: instances.def. */
struct kv_instance {
	const char *type;
	unsigned efas; /* at most */
	bool rdma_read;
};

enum kv_nvidia { KV_NVIDIA_NONE, KV_NVIDIA_OPEN, KV_NVIDIA_CLOSED, _KV_NVIDIA_COUNT };
extern const char *const kv_nvidia_name[_KV_NVIDIA_COUNT];

struct kv_modules {
	bool known; /* /sys/module is there */
	bool efa, uverbs, efa_nv_peermem, nvidia_peermem, gdrdrv;
	const char *efa_version; /* "3.1.0g"; NULL for the kernel's own driver */
	enum kv_nvidia nvidia;
	const char *nvidia_version;
};

/* Something mounted over a part of /sys or /dev that counts here. */
struct kv_cover {
	const char *path, *type;
};

/* ---- limits: host_limits.c ---- */

struct kv_limits {
	bool memlock_known;
	uint64_t memlock, memlock_hard; /* bytes, KV_UNLIMITED */
	bool memlock_exempt;            /* CAP_IPC_LOCK, which no such limit holds */
	uint64_t memory;                /* of the cgroup; KV_UNLIMITED */
	const char *memory_file;        /* that says so */
	uint64_t hugetlb;               /* of the cgroup, huge pages of the default size */
	const char *hugetlb_file;
	bool huge_known;
	uint64_t huge_total, huge_free, huge_size; /* pages, pages, bytes */
};

struct kv_host {
	const char *recorded; /* path of the recording; NULL for this machine */
	bool sysfs;           /* /sys/class is there: without it nothing about devices is known */
	bool pci_listed;      /* /sys/bus/pci/devices could be listed */
	int verbs_error;      /* with which /sys/class/infiniband_verbs was not listed; 0 */
	kv_pcis efas, gpus;   /* by address */
	KV_VEC(struct kv_verbs) verbs;
	int numa_nodes;      /* that /sys shows; -1 where it has no directory of them */
	const char *kernel;  /* "6.8.0-1030-aws"; NULL */
	const char *product; /* instance type where the vendor is EC2, else NULL */
	const struct kv_instance *instance;
	struct kv_modules modules;
	KV_VEC(struct kv_cover) covers;
	struct kv_limits limits;
	const kv_untolds *untold;
};

struct kv_host *kv_host_collect(struct kv_sysroot *s);

/* Of EFA devices: all, and those that this process can use. */
size_t kv_host_efas(const struct kv_host *h);
size_t kv_host_usable_efas(const struct kv_host *h);
bool kv_verbs_is_efa(const struct kv_verbs *v);
bool kv_verbs_usable(const struct kv_verbs *v);
/* Whether something below one of these places, of which a NULL ends the list, could not be told. */
bool kv_host_is_untold(const struct kv_host *h, const char *const *places);
/* What of the devices could not be told may be one more, or why one is left out. */
bool kv_host_hides_devices(const struct kv_host *h);
/* Why it is not usable, in words; NULL where it is. */
const char *kv_verbs_problem(const struct kv_verbs *v);

/* ---- what the collectors share ---- */

void kv_find_pci(struct kv_host *h, struct kv_sysroot *s);
void kv_find_verbs(struct kv_host *h, struct kv_sysroot *s);
void kv_find_system(struct kv_host *h, struct kv_sysroot *s);
void kv_find_limits(struct kv_host *h, struct kv_sysroot *s);

#endif
