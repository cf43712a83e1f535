package cli

import (
	"testing"
	"testing/fstest"
)

func TestCgroupLimits(t *testing.T) {
	t.Parallel()
	meminfo := "MemTotal:       4194304 kB\nMemFree: 1 kB\n"
	for _, tt := range []struct {
		name   string
		files  map[string]string
		memory uint64
		whose  string
		quota  float64 // 0: none
	}{
		{"a machine", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/user.slice\n"}, 4 << 30, "the machine", 0},
		{"a container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/cpu.max": "150000 100000\n",
		}, 1 << 30, "the cgroup", 1.5},
		{"no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n",
		}, 4 << 30, "the machine", 0},
		{"the one above is less", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n", "sys/fs/cgroup/a/memory.max": "536870912\n",
			"sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
		}, 512 << 20, "the cgroup", 0.5},
		{"version 1", map[string]string{
			"proc/self/cgroup": "9:cpu,cpuacct:/x\n4:memory:/x\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
		}, 1 << 30, "the cgroup", 0},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: lots\n", "proc/self/cgroup": "x\n0:\n0::\n", "sys/fs/cgroup/memory.max": "-1\n", "sys/fs/cgroup/cpu.max": "1 0\n"}, 0, "", 0},
		{"nothing", nil, 0, "", 0},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		memory, whose, ok := limitOfMemory(root)
		if ok != (tt.memory > 0) || ok && (memory != tt.memory || whose != tt.whose) {
			t.Errorf("%s: %d of %s", tt.name, memory, whose)
		}
		quota, ok := quotaOfProcessors(root)
		if ok != (tt.quota > 0) || ok && quota != tt.quota {
			t.Errorf("%s: %v", tt.name, quota)
		}
	}
}
