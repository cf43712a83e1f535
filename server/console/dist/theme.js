{let e=localStorage.getItem("sortie.theme");(e==="light"||e==="dark")&&(document.documentElement.dataset.theme=e)}
