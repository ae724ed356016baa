package place

// A disk takes the single steps that a place is made of. There are two: the file system below a folder, and one in
// memory that loses power where a test wants it to. As files takes the same steps on both, a crash test of the second
// tests the order of writes on the first.
//
// Names are slash-separated and relative to the top, which is "". Errors wrap that of the system
// call. Nothing is durable until the sync that covers it.
type disk interface {
	mkdir(name string) error                // fs.ErrExist if there is one
	create(name string) (tempFile, error)   // new and empty, fs.ErrExist if there is one
	rename(from, to string) error           // replaces
	remove(name string) error               // a file
	rmdir(name string) error                // a folder; fs.ErrExist if it is not empty
	syncFolder(name string) error           // makes durable which names the folder has, not what is in the files
	syncAll() error                         // makes everything durable
	open(name string) (File, error)         // a regular file
	list(name string) ([]Info, error)       // files and folders only, sorted
	space() (free, total uint64, err error) // as Place.Space
}

// A tempFile is a new file being written.
type tempFile interface {
	write(b []byte) error // appends all of b
	sync() error          // makes what was written durable, but not the file's name
	close() error
}
