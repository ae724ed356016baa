package fs

import "strings"

const maxName = 255 // bytes of a folder's name, and of a file's on most file systems

// folderNames returns the folder name for each instance id: its host name made safe, with the start of the id if another
// one has the same, and the whole id if that is not enough or there is no name.
func folderNames(hostNames map[string]string) map[string]string {
	names := make(map[string]string, len(hostNames))
	for id, host := range hostNames {
		names[id] = safeName(host)
	}
	for _, more := range []func(id, name string) string{
		func(id, name string) string { return cutName(name) + "~" + id[:min(8, len(id))] },
		func(id, _ string) string { return safeName(id) },
	} {
		for id := range ambiguous(names) {
			names[id] = more(id, names[id])
		}
	}
	return names
}

// shownName returns the name of an instance's folder, "" if it has no versions.
func (f *folders) shownName(id string) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if in := f.byID[id]; in != nil {
		return in.shown
	}
	return ""
}

// ambiguous returns the ids whose name is empty, or another one's too.
func ambiguous(names map[string]string) map[string]bool {
	count := make(map[string]int, len(names))
	for _, name := range names {
		count[name]++
	}
	ids := make(map[string]bool)
	for id, name := range names {
		if name == "" || count[name] > 1 {
			ids[id] = true
		}
	}
	return ids
}

// safeName makes a host name good for a file name: no slash and no control characters, not hidden, not too long.
func safeName(host string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' {
			return '_'
		}
		return r
	}, host)
	if strings.HasPrefix(name, ".") {
		name = "_" + name[1:]
	}
	return cutName(name)
}

// cutName leaves room for "~" and 8 digits.
func cutName(name string) string { return name[:min(len(name), maxName-9)] }
