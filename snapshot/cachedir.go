package snapshot

// A folder is tagged as a cache by a regular file of this name in it that begins with this signature: https://bford.info/cachedir/
const (
	CacheTag       = "CACHEDIR.TAG"
	CacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)
